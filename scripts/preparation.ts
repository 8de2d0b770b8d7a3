/** What a script needs before it runs the agent beside itself. */

import { BUILT, MAIN } from "../tests/support/agent_process.ts";

const SILENT_MS = 1_000;
const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/**
 * With the user's whole environment, because a proxy or another registry may be needed; the agent itself is started
 * with almost none of it.
 */
export async function fetchDependencies(signal?: AbortSignal): Promise<void> {
  const notice = setTimeout(
    () => console.log("The agent's dependencies are being fetched, this once."),
    SILENT_MS,
  );
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", MAIN],
    stdin: "null",
    ...(signal ? { signal } : {}),
  }).output();
  clearTimeout(notice);
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim().split("\n", 1)[0];
  throw new Error(`the agent's dependencies could not be fetched: ${reason}`);
}

/** Builds `dist/ilagent` where it is missing, and says so. Throws, with one line, where that fails. */
export async function buildWhereMissing(note: (text: string) => void): Promise<void> {
  if (await isFile(BUILT)) return;
  note("dist/ilagent is missing and is built first");
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "build"],
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "the build failed");
  }
}

export async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The agent and the emulator are on this machine: a proxy of the user would not find them. */
export function connectDirectly(): void {
  for (const name of PROXY_VARIABLES) {
    Deno.env.delete(name);
    Deno.env.delete(name.toLowerCase());
  }
}
