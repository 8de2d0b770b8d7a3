import { runQuietly } from "./deno.ts";

const BUNDLE_TIMEOUT_MS = 120_000;

/**
 * What esbuild puts in the place of `require`. Deno replaces it by a real one, but not where minifying has named it
 * `$`, which is a matter of how often other names occur.
 */
const REQUIRE_SHIM = /var ([\w$]+)=\([\w$]+=>typeof require<"u"\?require:.{1,400}?is not supported'\)\}\);/s;

/**
 * Writes `entry` and everything it imports, npm packages and dynamic imports included, as one minified module.
 *
 * @throws when bundling fails, or when the bundle would still have to import something that is not built in.
 */
export async function bundle(entry: string, output: string, cwd: string): Promise<void> {
  await deno(["bundle", "--minify", "--platform", "deno", "--output", output, entry], cwd);
  await giveRequire(output);
  const outside = (await importsOf(output, cwd)).filter((specifier) => !specifier.startsWith("node:"));
  if (outside.length > 0) {
    throw new Error(`Cannot bundle ${entry}: ${outside.join(", ")} would be missing at run time`);
  }
}

async function giveRequire(path: string): Promise<void> {
  const text = await Deno.readTextFile(path);
  const whole = text.replace(
    REQUIRE_SHIM,
    (_, name) =>
      `import{createRequire as giveRequire}from"node:module";var ${name}=giveRequire(import.meta.url);`,
  );
  if (whole.includes("Dynamic require of")) {
    throw new Error(`Cannot bundle: ${path} has a require that Deno left without a meaning`);
  }
  if (whole !== text) await Deno.writeTextFile(path, whole);
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
