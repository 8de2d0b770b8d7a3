import { join } from "node:path";
import { runQuietly } from "./deno.ts";
import { requireOnDemand, writeLazyNodeModules } from "./lazy_node_modules.ts";

const BUNDLE_TIMEOUT_MS = 120_000;

/**
 * Writes `entry` and everything it imports, npm packages and dynamic imports included, as one module.
 *
 * @throws when bundling fails, or when the bundle would still have to import something that is not built in.
 */
export async function bundle(
  entry: string,
  output: string,
  cwd: string,
  { minify = true }: { minify?: boolean } = {},
): Promise<void> {
  const scratch = await Deno.makeTempDir({ prefix: "ilagent-bundle-" });
  try {
    const { imports } = JSON.parse(await Deno.readTextFile(join(cwd, "deno.json")));
    const importMap = await writeLazyNodeModules(imports, scratch);
    const options = ["--platform", "deno", "--import-map", importMap, ...(minify ? ["--minify"] : [])];
    await deno(["bundle", ...options, "--output", output, entry], cwd);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
  await Deno.writeTextFile(output, requireOnDemand(await Deno.readTextFile(output)));
  // Comments name types that they would import.
  if (!minify) return;
  const outside = (await importsOf(output, cwd)).filter((specifier) => !specifier.startsWith("node:"));
  if (outside.length > 0) {
    throw new Error(`Cannot bundle ${entry}: ${outside.join(", ")} would be missing at run time`);
  }
}

async function importsOf(path: string, cwd: string): Promise<string[]> {
  const graph: { modules: { dependencies?: { specifier: string }[] }[] } = JSON.parse(
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
