import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { constants, gunzip, gzip } from "node:zlib";
import type { Target } from "./targets.ts";

const LAUNCHER = new URL("./launcher.sh", import.meta.url);

// Of what Deno and every POSIX system can do, zlib at level 9 is the smallest, and faster than gzip(1). It
// writes no time stamp, so that equal inputs give equal files.
const GZIP = { level: constants.Z_BEST_COMPRESSION, memLevel: constants.Z_MAX_MEMLEVEL };
const compress = promisify<Uint8Array, typeof GZIP, Uint8Array>(gzip);
const decompress = promisify<Uint8Array, Uint8Array>(gunzip);

export interface SelfExtractingParts {
  /** Its modules, which lie beside each other; the runtime runs the first. */
  program: readonly string[];
  /** An executable that takes `run <flags> <module> <arguments>`: Deno, for the target. */
  runtime: string;
  target: Target;
  runFlags: readonly string[];
  /** Keeps compressed runtimes from one build to the next, because compressing Deno takes seconds. */
  keepIn: string;
  output: string;
}

/**
 * Writes one executable file: launcher.sh, filled in, then the compressed runtime and the compressed program.
 * The same parts give the same bytes.
 */
export async function writeSelfExtracting(parts: SelfExtractingParts): Promise<void> {
  const runtime = await Deno.readFile(parts.runtime);
  const runtimeSha256 = sha256(runtime);
  const runtimeGz = await compressOnce(runtime, join(parts.keepIn, `.runtime-${runtimeSha256}.gz`));
  const modules = await Promise.all(parts.program.map((path) => Deno.readFile(path)));
  const names = parts.program.map((path) => basename(path));
  const program = Buffer.concat(modules);
  const programGz = await compress(program, GZIP);

  const head = fillIn(await Deno.readTextFile(LAUNCHER), {
    RUNTIME_SHA256: runtimeSha256,
    RUNTIME_BYTES: String(runtimeGz.length),
    PROGRAM_SHA256: sha256(program),
    PROGRAM_BYTES: String(programGz.length),
    PROGRAM: names[0] ?? "",
    FILES: names.map((name, at) => `${modules[at]?.length}:${name}`).join(" "),
    RUN_FLAGS: parts.runFlags.map(quote).join(" "),
    TARGET: parts.target.name,
    MACHINES: parts.target.machines.join(" | "),
  });
  await replaceFile(parts.output, [head, runtimeGz, programGz], 0o755);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The kept file is read back in full: a damaged one would give a build that fails only at its users'. */
async function compressOnce(bytes: Uint8Array, keptAt: string): Promise<Uint8Array> {
  try {
    const kept = await Deno.readFile(keptAt);
    if (sha256(await decompress(kept)) === sha256(bytes)) return kept;
  } catch {
    // Not there yet, or not gzip: compress anew.
  }
  const compressed = await compress(bytes, GZIP);
  await replaceFile(keptAt, [compressed], 0o644);
  return compressed;
}

function fillIn(template: string, values: Record<string, string>): Uint8Array {
  const filled = template.replace(
    /@([A-Z0-9_]+)@/g,
    (placeholder, name: string) => values[name] ?? placeholder,
  );
  // The head states its own length: blanks, which sh ignores there, keep that the same whatever the number is.
  const headBytes = new TextEncoder().encode(filled).length;
  return new TextEncoder().encode(
    filled.replace("@HEAD_BYTES@", (placeholder) => String(headBytes).padEnd(placeholder.length)),
  );
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** By rename, because a shell still reads the head of a file that is being started. */
async function replaceFile(path: string, chunks: Uint8Array[], mode: number): Promise<void> {
  const partial = `${path}.${crypto.randomUUID()}`;
  try {
    await Deno.writeFile(partial, Buffer.concat(chunks), { createNew: true });
    await Deno.chmod(partial, mode);
    await Deno.rename(partial, path);
  } catch (error) {
    await Deno.remove(partial).catch(() => {});
    throw error;
  }
}
