/** Deno's own executable for any target, from its npm package, checked against `runtimes.json`. */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runQuietly } from "./deno.ts";
import pinned from "./runtimes.json" with { type: "json" };
import type { Target } from "./targets.ts";

const DOWNLOAD_TIMEOUT_MS = 300_000;
const UNPACK_TIMEOUT_MS = 60_000;

export interface RuntimeSource {
  readonly version: string;
  /** Package → checksum of its archive, as npm states it. */
  readonly integrity: Readonly<Record<string, string>>;
  /** Writes the archive of `<package>@<version>`. */
  readonly fetchPackage: (spec: string, output: string) => Promise<void>;
}

/** By npm, because only it knows the user's registry, proxy and certificates. */
const NPM: RuntimeSource = { ...pinned, fetchPackage: packWithNpm };

/**
 * Answers the path of the executable. The archive is kept in `keepIn` and checked each time; a damaged one is fetched
 * again.
 *
 * @throws where no checksum is on record, where the archive cannot be had, or where it is not the one on record.
 */
export async function pinnedRuntime(
  { name, os, runtimePackage }: Target,
  keepIn: string,
  { version, integrity: checksums, fetchPackage }: RuntimeSource = NPM,
): Promise<string> {
  const spec = `${runtimePackage}@${version}`;
  const integrity = checksums[runtimePackage];
  if (integrity === undefined) {
    throw new Error(
      `Cannot take Deno for ${name}: scripts/build/runtimes.json has no checksum of ${spec}; ` +
        `'npm view ${spec} dist.integrity' shows it`,
    );
  }
  const archive = join(keepIn, `.deno-${version}-${name}.tgz`);
  if (!existsSync(archive) || await integrityOf(archive) !== integrity) await fetchPackage(spec, archive);
  const found = await integrityOf(archive);
  if (found !== integrity) {
    await Deno.remove(archive);
    throw new Error(
      `Cannot take Deno for ${name}: ${spec} is not the one on record, its checksum is ${found}`,
    );
  }
  return await unpack(archive, os === "windows" ? "deno.exe" : "deno", keepIn, name);
}

async function integrityOf(path: string): Promise<string> {
  return `sha512-${createHash("sha512").update(await Deno.readFile(path)).digest("base64")}`;
}

async function packWithNpm(spec: string, output: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "ilagent-runtime-" });
  try {
    const args = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder, spec];
    const outcome = await runQuietly(args, {
      program: "npm",
      cwd: folder,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
    if (outcome.kind !== "ok") throw new Error(`Cannot fetch ${spec}: npm pack ${outcome.kind}`);
    await Deno.copyFile(join(folder, outcome.stdout.trim()), output);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function unpack(archive: string, program: string, keepIn: string, name: string): Promise<string> {
  const folder = join(keepIn, `.deno-${name}`);
  await Deno.mkdir(folder, { recursive: true });
  const args = ["-xzf", archive, "-C", folder, `package/${program}`];
  const outcome = await runQuietly(args, { program: "tar", cwd: keepIn, timeoutMs: UNPACK_TIMEOUT_MS });
  if (outcome.kind !== "ok") throw new Error(`Cannot unpack ${archive}: tar ${outcome.kind}`);
  return join(folder, "package", program);
}
