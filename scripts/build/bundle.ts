import { join } from "node:path";
import { runQuietly } from "./deno.ts";
import { requireOnDemand, writeLazyNodeModules } from "./lazy_node_modules.ts";
import { MAIN_PART, type Part, PARTS, writeEntry, writeStandIns } from "./parts.ts";

const BUNDLE_TIMEOUT_MS = 120_000;

export interface BundleOptions {
  minify?: boolean;
}

/** Writes the program into `folder`: `ilagent.js`, which is to be run, and the modules it loads. Throws as `bundle()`. */
export async function bundleProgram(
  folder: string,
  root: string,
  options: BundleOptions = {},
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const scratch = await Deno.makeTempDir({ prefix: "ilagent-parts-" });
  try {
    await bundlePart(join(root, "main.ts"), join(folder, MAIN_PART), root, PARTS, options);
    for (const part of PARTS) {
      const entry = await writeEntry(part, root, scratch);
      const others = PARTS.filter((other) => other !== part);
      await bundlePart(entry, join(folder, part.file), root, others, options);
    }
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/**
 * Writes `entry` and everything it imports, npm packages and dynamic imports included, as one module.
 *
 * @throws when bundling fails, or when the bundle would still have to import something that is not built in.
 */
export async function bundle(
  entry: string,
  output: string,
  cwd: string,
  options: BundleOptions = {},
): Promise<void> {
  await bundlePart(entry, output, cwd, [], options);
}

/** All but what is in the other parts. */
async function bundlePart(
  entry: string,
  output: string,
  cwd: string,
  others: readonly Part[],
  { minify = true }: BundleOptions,
): Promise<void> {
  const scratch = await Deno.makeTempDir({ prefix: "ilagent-bundle-" });
  try {
    const { imports } = JSON.parse(await Deno.readTextFile(join(cwd, "deno.json")));
    const standIns = await writeStandIns(others, cwd, scratch);
    const importMap = await writeLazyNodeModules({ ...imports, ...standIns }, scratch);
    const options = [
      ...["--platform", "deno", "--config", join(cwd, "deno.json"), "--import-map", importMap],
      ...(minify ? ["--minify"] : []),
      ...others.flatMap(({ file }) => ["--external", `./${file}`]),
    ];
    await deno(["bundle", ...options, "--output", output, entry], cwd);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
  await Deno.writeTextFile(output, requireOnDemand(await Deno.readTextFile(output)));
  // Comments name types that they would import.
  if (!minify) return;
  const beside = others.map(({ file }) => `./${file}`);
  const outside = (await importsOf(output, cwd)).filter((specifier) =>
    !specifier.startsWith("node:") && !beside.includes(specifier)
  );
  if (outside.length > 0) {
    throw new Error(`Cannot bundle ${entry}: ${outside.join(", ")} would be missing at run time`);
  }
}

async function importsOf(path: string, cwd: string): Promise<string[]> {
  const graph: { modules: { specifier: string; dependencies?: { specifier: string }[] }[] } = JSON.parse(
    await deno(["info", "--json", "--no-config", "--no-remote", "--no-npm", path], cwd),
  );
  return graph.modules.flatMap((module) => module.dependencies ?? []).map(({ specifier }) => specifier);
}

async function deno(args: string[], cwd: string): Promise<string> {
  const outcome = await runQuietly(args, { cwd, timeoutMs: BUNDLE_TIMEOUT_MS });
  switch (outcome.kind) {
    case "ok":
      return outcome.stdout;
    case "timed-out":
      throw new Error(`Cannot run deno ${args[0]}: no result after ${BUNDLE_TIMEOUT_MS / 1000} s`);
    case "failed":
      throw new Error(`Cannot run deno ${args[0]}: ${outcome.stderr.trim()}`);
  }
}
