/**
 * What a release needs beside `scripts/build.ts`. The workflow runs these, and so do the tests.
 *
 *     deno run -A scripts/release.ts check v0.12.0                       the tag is the version of deno.json
 *     deno run -A scripts/release.ts deb BINARY amd64|arm64 FOLDER       the Debian package of a built file
 *     deno run -A scripts/release.ts image FOLDER amd64=DENO arm64=DENO  what the container image is built from
 *     deno run -A scripts/release.ts assets FOLDER URL                   SBOM, install.sh and SHA256SUMS of a folder
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { PACKAGES } from "./architecture/rules.ts";
import { runQuietly } from "./build/deno.ts";
import runtimes from "./build/runtimes.json" with { type: "json" };
import { writeAssets } from "./release/assets.ts";
import { type DebParts, writeDeb } from "./release/deb.ts";
import { writeImageContext } from "./release/image_context.ts";
import { sbomOf } from "./release/sbom.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GIT_TIMEOUT_MS = 10_000;

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exitCode = 1;
  }
}

async function main([command, ...args]: string[]): Promise<void> {
  const [first = "", second = "", third = ""] = args;
  switch (command) {
    case "check":
      return check(first);
    case "deb": {
      if (second !== "amd64" && second !== "arm64") throw new Error(`Cannot make a .deb for ${second}`);
      const parts: DebParts = {
        root: ROOT,
        binary: first,
        version: manifest.version,
        arch: second,
        epochSeconds: await commitSeconds(),
        folder: third,
      };
      return console.log(await writeDeb(parts));
    }
    case "image": {
      const pairs = args.slice(1).map((pair) => pair.split("=") as [string, string]);
      const program = join(ROOT, "dist", "program");
      return await writeImageContext({
        root: ROOT,
        program,
        runtimes: Object.fromEntries(pairs),
        folder: first,
      });
    }
    case "assets":
      return await assets(first, second);
    default:
      throw new Error(
        "Usage: release.ts check TAG | deb BINARY ARCH FOLDER | image FOLDER ARCH=DENO… | assets FOLDER URL",
      );
  }
}

function check(tag: string): void {
  if (tag !== `v${manifest.version}`) {
    throw new Error(`Cannot release ${tag}: the version in deno.json is ${manifest.version}`);
  }
}

async function assets(folder: string, url: string): Promise<void> {
  const direct = Object.fromEntries(
    Object.values(manifest.imports).map((specifier) => {
      const at = specifier.lastIndexOf("@");
      return [specifier.slice("npm:".length, at), specifier.slice(at + 1)];
    }),
  );
  const sbom = sbomOf(JSON.parse(await Deno.readTextFile(join(ROOT, "deno.lock"))), {
    version: manifest.version,
    denoVersion: runtimes.version,
    timestamp: new Date(await commitSeconds() * 1000).toISOString(),
    direct,
    shipped: Object.keys(PACKAGES).filter((name) => PACKAGES[name]?.some((path) => path.startsWith("src/"))),
  });
  const installerTemplate = await Deno.readTextFile(join(ROOT, "scripts", "packaging", "install.sh"));
  await writeAssets(folder, { version: manifest.version, url, installerTemplate, sbom });
}

/** When the commit was made, which dates what is built from it. */
async function commitSeconds(): Promise<number> {
  const args = ["log", "-1", "--format=%ct"];
  const outcome = await runQuietly(args, { program: "git", cwd: ROOT, timeoutMs: GIT_TIMEOUT_MS });
  if (outcome.kind !== "ok") throw new Error(`Cannot date the release: git log ${outcome.kind}`);
  return Number(outcome.stdout);
}
