/** Packages of Debian and its kin, unpacked into a folder: nothing is installed into the system, and no right is needed. */

import { existsSync } from "node:fs";
import { join } from "node:path";

/** With the packages it depends on, as far as the machine lacks them. apt keeps its lists in `folder` too, meanwhile. */
export async function unpackDebianPackage(name: string, folder: string): Promise<void> {
  const apt = join(folder, "apt");
  await Deno.mkdir(join(apt, "lists/partial"), { recursive: true });
  await Deno.mkdir(join(apt, "cache/archives/partial"), { recursive: true });
  const own = ["-qq", "-o", `Dir::State::Lists=${apt}/lists`, "-o", `Dir::Cache=${apt}/cache`];
  await run("apt-get", [...own, "update"], apt);
  const plan = await run("apt-get", [...own, "--simulate", "--no-install-recommends", "install", name], apt);
  const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, missing = ""]) => missing);
  await run("apt-get", [...own, "download", ...new Set([name, ...missing])], apt);
  for (const { name: file } of Deno.readDirSync(apt)) {
    if (file.endsWith(".deb")) await run("dpkg", ["-x", file, folder], apt);
  }
  await Deno.remove(apt, { recursive: true });
}

/** Such as `usr/lib/x86_64-linux-gnu` below `root`. */
export function libraryFolders(root: string): string[] {
  return ["usr/lib", "lib"].map((name) => join(root, name)).filter((path) => existsSync(path))
    .flatMap((path) => [...Deno.readDirSync(path)].map(({ name }) => join(path, name)))
    .filter((path) => path.includes("-linux-"));
}

async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  const options: Deno.CommandOptions = { args: [...args], cwd, stdin: "null", env: { LC_ALL: "C" } };
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, options).output();
    if (success) return new TextDecoder().decode(stdout);
    throw new Error(`${program} failed: ${new TextDecoder().decode(stderr).trim()}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`there is no ${program} to fetch a Debian package with; install it by hand`);
  }
}
