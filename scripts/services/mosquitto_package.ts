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

/** null where there is none yet. The one that was unpacked goes first: the machine's own was none that runs, then. */
export function findMosquitto(): MosquittoProgram | null {
  return existsSync(unpackedFolder()) ? unpackedProgram(unpackedFolder()) : machinesOwn();
}

/** Rejects, with what to do, where there is none and it cannot be fetched. */
export async function installMosquitto(): Promise<void> {
  const found = findMosquitto();
  if (found !== null && await whatItSays(found) === "runs") return;
  await Deno.remove(unpackedFolder(), { recursive: true }).catch(() => {});
  await fillOnce(unpackedFolder(), async (folder) => {
    await unpackDebianPackage("mosquitto", folder);
    const answer = await whatItSays(unpackedProgram(folder));
    if (answer !== "runs") throw new Error(`Mosquitto was fetched, but does not run here: ${answer}`);
  });
}

function machinesOwn(): MosquittoProgram | null {
  const folders = [...(Deno.env.get("PATH") ?? "").split(delimiter), ...DAEMON_FOLDERS];
  const path = folders.map((folder) => join(folder, "mosquitto")).find((path) => existsSync(path));
  return path === undefined ? null : { path, env: {} };
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
  await run("apt-get", [...own, "download", ...new Set([name, ...missing])], apt);
  for (const { name: file } of Deno.readDirSync(apt)) {
    if (file.endsWith(".deb")) await run("dpkg", ["-x", file, folder], apt);
  }
  await Deno.remove(apt, { recursive: true });
}

/** "runs" for a Mosquitto 2, else its answer. */
async function whatItSays({ path, env }: MosquittoProgram): Promise<string> {
  const answer = await new Deno.Command(path, { args: ["-h"], env }).output().catch((error: Error) => error);
  if (answer instanceof Error) return answer.message;
  const text = new TextDecoder().decode(answer.stdout) + new TextDecoder().decode(answer.stderr);
  return /^mosquitto version 2\./m.test(text) ? "runs" : text.trim().split("\n", 1)[0] ?? "";
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
