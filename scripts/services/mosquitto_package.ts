/**
 * Mosquitto as a program to start: the one of the machine, else Debian's package, unpacked into the cache folder with
 * what it needs. Nothing is installed into the system, so no right to do that is needed and no broker starts by itself.
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cacheFolder, fillOnce } from "./cache_folder.ts";

export interface MosquittoProgram {
  readonly path: string;
  readonly env: Record<string, string>;
}

/** Daemons are often not on the PATH of an ordinary user. */
const DAEMON_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
const RUNS = /^mosquitto version 2\./m;

/** null where there is none yet. */
export function findMosquitto(): MosquittoProgram | null {
  const folders = [...(Deno.env.get("PATH") ?? "").split(delimiter), ...DAEMON_FOLDERS];
  const installed = folders.map((folder) => join(folder, "mosquitto")).find((path) => existsSync(path));
  if (installed !== undefined) return { path: installed, env: {} };
  return existsSync(unpackedFolder()) ? unpackedProgram(unpackedFolder()) : null;
}

/** Rejects, with what to do, where there is none and it cannot be fetched. */
export async function installMosquitto(): Promise<MosquittoProgram> {
  const found = findMosquitto();
  if (found !== null) {
    await checkThatItRuns(found);
    return found;
  }
  await fillOnce(unpackedFolder(), async (folder) => {
    await unpackDebianPackage("mosquitto", folder);
    await checkThatItRuns(unpackedProgram(folder));
  });
  return unpackedProgram(unpackedFolder());
}

function unpackedFolder(): string {
  return join(cacheFolder(), "mosquitto");
}

function unpackedProgram(folder: string): MosquittoProgram {
  // Such as usr/lib/x86_64-linux-gnu.
  const libraries = ["usr/lib", "lib"].map((name) => join(folder, name)).filter((path) => existsSync(path))
    .flatMap((path) => [...Deno.readDirSync(path)].map(({ name }) => join(path, name)))
    .filter((path) => path.includes("-linux-"));
  return { path: join(folder, "usr/sbin/mosquitto"), env: { LD_LIBRARY_PATH: libraries.join(delimiter) } };
}

/** With the packages it depends on, as far as the machine lacks them. apt keeps its lists in `folder` too, meanwhile. */
async function unpackDebianPackage(name: string, folder: string): Promise<void> {
  const apt = join(folder, "apt");
  await Deno.mkdir(join(apt, "lists/partial"), { recursive: true });
  await Deno.mkdir(join(apt, "cache/archives/partial"), { recursive: true });
  const own = ["-qq", "-o", `Dir::State::Lists=${apt}/lists`, "-o", `Dir::Cache=${apt}/cache`];
  await run("apt-get", [...own, "update"], apt);
  const plan = await run("apt-get", [...own, "--simulate", "--no-install-recommends", "install", name], apt);
  const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, missing = ""]) => missing);
  await run("apt-get", [...own, "download", ...missing], apt);
  for (const { name: file } of Deno.readDirSync(apt)) {
    if (file.endsWith(".deb")) await run("dpkg", ["-x", file, folder], apt);
  }
  await Deno.remove(apt, { recursive: true });
}

async function checkThatItRuns({ path, env }: MosquittoProgram): Promise<void> {
  const { stdout, stderr } = await new Deno.Command(path, { args: ["-h"], env }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (!RUNS.test(text)) {
    throw new Error(`${path} is no Mosquitto 2 that runs here: ${text.trim().split("\n", 1)[0]}`);
  }
}

async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  const options: Deno.CommandOptions = { args: [...args], cwd, stdin: "null", env: { LC_ALL: "C" } };
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, options).output();
    if (success) return new TextDecoder().decode(stdout);
    throw new Error(`${program} failed: ${new TextDecoder().decode(stderr).trim()}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`there is no ${program} to fetch Mosquitto with; install Mosquitto 2 by hand`);
  }
}
