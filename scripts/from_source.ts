/** What a script needs before it runs the agent from source beside itself. */

import { MAIN } from "../tests/support/agent_process.ts";

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

/** The agent and the emulator are on this machine: a proxy of the user would not find them. */
export function connectDirectly(): void {
  for (const name of PROXY_VARIABLES) {
    Deno.env.delete(name);
    Deno.env.delete(name.toLowerCase());
  }
}
