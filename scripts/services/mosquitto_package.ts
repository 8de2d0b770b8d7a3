/**
 * Mosquitto as a program to start: the one of the machine, else Debian's package, unpacked into the cache folder with
 * what it needs. Nothing is installed into the system, so no right to do that is needed and no broker starts by itself.
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cacheFolder, fillOnce } from "./cache_folder.ts";
import { libraryFolders, unpackDebianPackage } from "./debian_package.ts";

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
  const libraries = libraryFolders(folder).join(delimiter);
  return { path: join(folder, "usr/sbin/mosquitto"), env: { LD_LIBRARY_PATH: libraries } };
}

/** "runs" for a Mosquitto 2, else its answer. */
async function whatItSays({ path, env }: MosquittoProgram): Promise<string> {
  const answer = await new Deno.Command(path, { args: ["-h"], env }).output().catch((error: Error) => error);
  if (answer instanceof Error) return answer.message;
  const text = new TextDecoder().decode(answer.stdout) + new TextDecoder().decode(answer.stderr);
  return /^mosquitto version 2\./m.test(text) ? "runs" : text.trim().split("\n", 1)[0] ?? "";
}
