/**
 * Builds the agent as one executable file, in one of two forms of the same bundle:
 *
 *     deno run -A scripts/build.ts [--form auto|compile|self-extracting] [--output dist/ilagent]
 *
 * `auto` compiles, and where that is not possible makes a self-extracting file.
 */
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundle } from "./build/bundle.ts";
import { compile } from "./build/compile.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "./build/run_flags.ts";
import { sha256, writeSelfExtracting } from "./build/self_extracting.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
const BUNDLE = join(DIST, "ilagent.js");

const FORMS = ["auto", "compile", "self-extracting"] as const;
type Form = typeof FORMS[number];

if (import.meta.main) {
  try {
    console.log(await build(parseOptions(Deno.args)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exitCode = 1;
  }
}

/** Answers one line: the form that was built, its size and checksum, and why it is not the compiled one. */
async function build({ form, output }: { form: Form; output: string }): Promise<string> {
  await Deno.mkdir(DIST, { recursive: true });
  await Deno.mkdir(dirname(output), { recursive: true });
  await bundle("main.ts", BUNDLE, ROOT);

  if (form === "self-extracting") {
    await selfExtract(output);
    return await describe(output, form);
  }
  const outcome = await compile(BUNDLE, output);
  if (outcome.kind === "compiled") return await describe(output, "compiled");
  if (form === "compile") throw new Error(`Cannot compile: ${outcome.reason}`);
  await selfExtract(output);
  return await describe(output, `self-extracting (deno compile was not possible: ${outcome.reason})`);
}

async function selfExtract(output: string): Promise<void> {
  if (Deno.build.os === "windows") {
    throw new Error("Cannot build a self-extracting file: it needs a POSIX shell");
  }
  await writeSelfExtracting({
    bundle: BUNDLE,
    runtime: Deno.execPath(),
    runFlags: [...PERMISSION_FLAGS, ...ISOLATION_FLAGS],
    keepIn: DIST,
    output,
  });
}

async function describe(output: string, form: string): Promise<string> {
  const bytes = await Deno.readFile(output);
  return `Built ${output}: ${form}, ${(bytes.length / 1e6).toFixed(1)} MB, SHA-256 ${sha256(bytes)}`;
}

function parseOptions(args: string[]): { form: Form; output: string } {
  const { values } = parseArgs({
    args,
    options: {
      form: { type: "string", default: "auto" },
      output: { type: "string", default: join(DIST, "ilagent") },
    },
  });
  const form = FORMS.find((name) => name === values.form);
  if (form === undefined) {
    throw new Error(`Cannot build ${values.form}: --form is one of ${FORMS.join(", ")}`);
  }
  return { form, output: resolve(values.output) };
}
