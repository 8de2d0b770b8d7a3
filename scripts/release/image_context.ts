/** The folder that the container image is built from: the Dockerfile beside all that it copies. */

import { join } from "node:path";
import { PART_FILES } from "../build/parts.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../build/run_flags.ts";

export interface ImageParts {
  /** The project's root. */
  root: string;
  /** The folder of the program's modules. */
  program: string;
  /** Docker's name of each processor → Deno's executable for it. */
  runtimes: Readonly<Record<string, string>>;
  folder: string;
}

export async function writeImageContext({ root, program, runtimes, folder }: ImageParts): Promise<void> {
  const docker = join(root, "scripts", "packaging", "docker");
  await Deno.mkdir(join(folder, "data"), { recursive: true });
  const template = await Deno.readTextFile(join(docker, "Dockerfile"));
  await Deno.writeTextFile(
    join(folder, "Dockerfile"),
    template.replace(/(\[.*)@RUN_FLAGS@/, `$1${runFlags()}`),
  );
  await copy(join(docker, "probe.js"), join(folder, "probe.js"), 0o644);
  await Deno.mkdir(join(folder, "program"));
  for (const file of PART_FILES) await copy(join(program, file), join(folder, "program", file), 0o644);
  for (const [arch, runtime] of Object.entries(runtimes)) {
    await Deno.mkdir(join(folder, arch), { recursive: true });
    await copy(runtime, join(folder, arch, "deno"), 0o755);
  }
}

/** As words of a Dockerfile's list. */
function runFlags(): string {
  return [...PERMISSION_FLAGS, ...ISOLATION_FLAGS].map((flag) => JSON.stringify(flag)).join(", ");
}

async function copy(from: string, to: string, mode: number): Promise<void> {
  await Deno.copyFile(from, to);
  await Deno.chmod(to, mode);
}
