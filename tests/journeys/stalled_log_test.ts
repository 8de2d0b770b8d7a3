/** The built agent whose stderr is a full pipe that nobody reads. */

import assert from "node:assert/strict";
import { AgentProcess, BUILT, freePort } from "../support/agent_process.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";

/** Fills it with what a pipe of Linux holds; who opens it for reading too never waits for a reader. */
const WITH_FULL_STDERR = `mkfifo full && exec 3<>full && head -c 65536 /dev/zero >&3 && exec "$@" 2>&3 3>&-`;

const TOLD_TWICE_MS = 400;

async function stalled(ilert: IlertEmulator, folder: TempFolder, ...flags: string[]): Promise<AgentProcess> {
  const port = await freePort();
  const agent = AgentProcess.start({
    command: ["sh", "-c", WITH_FULL_STDERR, "sh", BUILT],
    args: ["daemon", "-vvvv", "-p", `${port}`, "--host", "127.0.0.1", "-f", folder.file("a.db3"), ...flags],
    env: { ILERT_API_HOST: ilert.url },
    cwd: folder.path,
  });
  await agent.ready();
  return agent;
}

for (const format of ["text", "json"]) {
  Deno.test(`the second signal ends an agent at once that cannot write its log as ${format}, with a delivery in flight`, async () => {
    using folder = new TempFolder();
    await using ilert = await IlertEmulator.start();
    ilert.inject({ kind: "hang" });
    await using agent = await stalled(ilert, folder, "--log_format", format);
    const response = await fetch(`${agent.url}/api/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ apiKey: "il1api-key-0001", eventType: "ALERT", summary: "in flight" }),
    });
    assert.equal(response.status, 200);
    await response.body?.cancel();
    await ilert.waitFor(({ counts }) => counts.inFlight === 1);
    agent.signal("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, TOLD_TWICE_MS));
    assert.equal(await agent.stop(5_000), 1);
  });
}
