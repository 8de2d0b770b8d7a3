/** A self-extracting file in a folder of its own, packed from scripts that stand in for Deno and for the bundle. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { writeSelfExtracting } from "../../scripts/build/self_extracting.ts";
import { ownTarget, type Target } from "../../scripts/build/targets.ts";
import { copyExecutable } from "./executable.ts";

// A shell script stands in for Deno, and another one for the bundle: what is under test is the head alone.
export const RUNTIME = `#!/bin/sh
[ "$1" != --version ] || { sleep "\${VERSION_SECONDS:-0}"; exit "\${VERSION_CODE:-0}"; }
while [ "\${1##*.}" != js ]; do shift; done
exec /bin/sh "$@"
`;
const ECHO = `
printf '%s\\0' "$@" && cat
printf '%s %s %s' "$(umask)" "$DENO_DIR" "\${NO_COLOR-unset}" >&2
exit "\${EXIT_CODE:-0}"
`;

// Shared with the build, so that Deno is compressed once.
const DIST = fileURLToPath(new URL("../../dist", import.meta.url));

export interface StartOptions {
  program?: string;
  before?: string[];
  cwd?: string;
  cache?: string | null;
  env?: Record<string, string>;
  stdin?: string;
}

interface Parts {
  folder: string;
  bundle: string;
  /** Of a second module, `beside.js`. */
  beside: string;
  /** Null packs Deno. */
  runtime: string | null;
  target: Target;
}

export type Sandbox = Awaited<ReturnType<typeof sandbox>>;

/** A built file in a folder of its own, started with no environment but a test's. */
export async function sandbox(parts: Partial<Parts> = {}) {
  const path = await Deno.makeTempDir({ prefix: "ilagent-build-" });
  await Deno.chmod(path, 0o755);
  const folder = join(path, parts.folder ?? "bin");
  const file = join(folder, "ilagent"), cache = join(path, "cache");
  const program = [join(path, "ilagent.js"), join(path, "beside.js")];
  await Deno.mkdir(folder);
  await Deno.mkdir(DIST, { recursive: true });
  for (const [at, text] of [parts.bundle ?? ECHO, parts.beside ?? ""].entries()) {
    await Deno.writeTextFile(program[at] ?? "", text);
  }
  let runtime = Deno.execPath(), keepIn = DIST;
  if (parts.runtime !== null) {
    [runtime, keepIn] = [join(path, "runtime"), folder];
    await Deno.writeTextFile(runtime, parts.runtime ?? RUNTIME);
  }
  const built = join(path, "built");
  const build = async () => {
    await writeSelfExtracting({
      program,
      runtime,
      target: parts.target ?? ownTarget(),
      runFlags: [...PERMISSION_FLAGS, ...ISOLATION_FLAGS],
      keepIn,
      output: built,
    });
    copyExecutable(built, file);
  };
  await build();

  const spawn = (args: string[], options: StartOptions = {}) =>
    new Deno.Command(options.program ?? file, {
      args: [...(options.before ?? []), ...args],
      cwd: options.cwd ?? path,
      clearEnv: true,
      env: {
        PATH: "/usr/bin:/bin",
        ...(options.cache === null ? {} : { ILAGENT_CACHE_DIR: options.cache ?? cache }),
        ...options.env,
      },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();

  const start = async (args: string[], options: StartOptions = {}) => {
    const child = spawn(args, options);
    if (options.stdin !== undefined) await new Response(options.stdin).body!.pipeTo(child.stdin);
    const { code, stdout, stderr } = await child.output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  };

  return {
    path,
    folder,
    file,
    cache,
    build,
    spawn,
    start,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

export async function names(folder: string): Promise<string[]> {
  const entries = [];
  try {
    for await (const { name } of Deno.readDir(folder)) entries.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return entries;
}
