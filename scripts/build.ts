/**
 * Builds the agent as one executable file, in one of two forms of the same bundle:
 *
 *     deno run -A scripts/build.ts [--form auto|compile|self-extracting] [--target linux-x64] [--output dist/ilagent]
 *
 * `auto` compiles, and where that is not possible makes a self-extracting file. Without `--target` the file is for this
 * machine, and a self-extracting one holds the Deno that runs the build; with it, the pinned Deno from npm.
 */
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundleProgram } from "./build/bundle.ts";
import { compile } from "./build/compile.ts";
import { MAIN_PART, PART_FILES } from "./build/parts.ts";
import { pinnedRuntime } from "./build/pinned_runtime.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "./build/run_flags.ts";
import { sha256, writeSelfExtracting } from "./build/self_extracting.ts";
import { ownTarget, type Target, targetNamed } from "./build/targets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
/** The folder of the bundled program, which both forms and the container image hold. */
const PROGRAM = join(DIST, "program");

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

interface Options {
  form: Form;
  /** Null for this machine, with the Deno that runs the build. */
  target: Target | null;
  output: string;
}

/** Answers one line: the form that was built, its size and checksum, and why it is not the compiled one. */
async function build({ form, target, output }: Options): Promise<string> {
  await Deno.mkdir(DIST, { recursive: true });
  await Deno.mkdir(dirname(output), { recursive: true });
  await bundleProgram(PROGRAM, ROOT);

  if (form === "self-extracting") {
    await selfExtract(target, output);
    return await describe(output, form);
  }
  const outcome = await compile(join(PROGRAM, MAIN_PART), output, target ?? ownTarget());
  if (outcome.kind === "compiled") return await describe(output, "compiled");
  if (form === "compile") throw new Error(`Cannot compile: ${outcome.reason}`);
  await selfExtract(target, output);
  return await describe(output, `self-extracting (deno compile was not possible: ${outcome.reason})`);
}

async function selfExtract(target: Target | null, output: string): Promise<void> {
  if ((target ?? ownTarget()).os === "windows") {
    throw new Error("Cannot build a self-extracting file for Windows: it needs a POSIX shell");
  }
  await writeSelfExtracting({
    program: PART_FILES.map((file) => join(PROGRAM, file)),
    runtime: target === null ? Deno.execPath() : await pinnedRuntime(target, DIST),
    target: target ?? ownTarget(),
    runFlags: [...PERMISSION_FLAGS, ...ISOLATION_FLAGS],
    keepIn: DIST,
    output,
  });
}

async function describe(output: string, form: string): Promise<string> {
  const bytes = await Deno.readFile(output);
  return `Built ${output}: ${form}, ${(bytes.length / 1e6).toFixed(1)} MB, SHA-256 ${sha256(bytes)}`;
}

function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      form: { type: "string", default: "auto" },
      target: { type: "string" },
      output: { type: "string", default: join(DIST, "ilagent") },
    },
  });
  const form = FORMS.find((name) => name === values.form);
  if (form === undefined) {
    throw new Error(`Cannot build ${values.form}: --form is one of ${FORMS.join(", ")}`);
  }
  const target = values.target === undefined ? null : targetNamed(values.target);
  return { form, target, output: resolve(values.output) };
}
