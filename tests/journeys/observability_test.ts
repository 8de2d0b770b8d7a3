/** What an operator sees of the built agent: figures, alarms, conditional heartbeats. */

import assert from "node:assert/strict";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

async function started(ilert: IlertEmulator, folder: TempFolder, ...flags: string[]): Promise<AgentProcess> {
  const agent = AgentProcess.start({
    command: "built",
    args: [
      "daemon",
      "-p",
      `${await freePort()}`,
      "-f",
      folder.file("a.db3"),
      "--host",
      "127.0.0.1",
      ...flags,
    ],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: ilert.url },
    cwd: folder.path,
  });
  await agent.ready();
  return agent;
}

async function post(
  agent: AgentProcess,
  summary: string,
  apiKey = "il1api-secret-key-0001",
): Promise<number> {
  const response = await fetch(`${agent.url}/api/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ apiKey, eventType: "ALERT", summary, alertKey: summary }),
  });
  await response.body?.cancel();
  return response.status;
}

async function figures(agent: AgentProcess): Promise<{ text: string; of: (name: string) => number }> {
  const text = await (await fetch(`${agent.url}/metrics`)).text();
  const of = (name: string) =>
    Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1]);
  return { text, of };
}

Deno.test("GET /metrics shows the ledger, attempts by status, ages and no keys, and totals survive a restart", async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  {
    await using agent = await started(ilert, folder);
    ilert.inject({ kind: "status", status: 400, times: 1 });
    for (const summary of ["refused", "one", "two"]) {
      assert.equal(await post(agent, summary), 200);
      await until(async () => (await figures(agent)).of("ilagent_queue_events") === 0, `${summary} has left`);
    }
    const { text, of } = await figures(agent);
    assert.equal(of("ilagent_events_accepted_total"), 3);
    assert.equal(of("ilagent_events_delivered_total"), 2);
    assert.equal(of("ilagent_dead_letters"), 1);
    assert.equal(of('ilagent_delivery_attempts_total{status="202"}'), 2);
    assert.equal(of('ilagent_delivery_attempts_total{status="400"}'), 1);
    assert.equal(of("ilagent_delivery_age_seconds_count"), 2);
    assert.equal(of("ilagent_outage"), 0);
    assert.ok(!text.includes("il1api-secret"));
    await ilert.goDown();
    for (let n = 0; n < 5; n++) await post(agent, `waiting ${n}`);
    await until(async () => (await figures(agent)).of("ilagent_outage") === 1, "the outage shows");
    assert.equal((await figures(agent)).of("ilagent_queue_events"), 5);
    await agent.stop();
  }
  await using again = await started(ilert, folder);
  const { of } = await figures(again);
  assert.equal(of("ilagent_events_accepted_total"), 8);
  assert.ok(of("ilagent_queue_oldest_seconds") > 0);
});

Deno.test("--alarm_key raises an alert for dead letters through its own key", async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  await using agent = await started(ilert, folder, "--alarm_key", "il1api-alarm-key-0001");
  ilert.inject({ kind: "status", status: 404, key: "il1api-secret-key-0001" });
  assert.equal(await post(agent, "refused"), 200);
  await ilert.waitFor(({ accepted }) => accepted.length === 1);
  const { event } = ilert.accepted[0] ?? assert.fail();
  assert.equal(event.integrationKey, "il1api-alarm-key-0001");
  assert.equal(event.alertKey, "ilagent-dead-letters");
  assert.match(event.summary ?? "", /1 dead letters; see 'ilagent deadletter list'/);
});

Deno.test("--alarm_key raises an alert for new dead letters after the old ones were purged", async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  ilert.inject({ kind: "status", status: 404, key: "il1api-secret-key-0001" });
  const flags = ["--alarm_key", "il1api-alarm-key-0001"];
  const deadLetters = async (agent: AgentProcess) => (await figures(agent)).of("ilagent_dead_letters");
  {
    await using agent = await started(ilert, folder);
    for (const summary of ["one", "two"]) await post(agent, summary);
    await until(async () => await deadLetters(agent) === 2, "two old ones");
    await agent.stop();
  }
  await using agent = await started(ilert, folder, ...flags);
  const purge = ["deadletter", "purge", "--all", "-f", folder.file("a.db3")];
  assert.equal((await runAgent(purge, { command: "built" })).stdout, "2 purged\n");
  await until(async () => await deadLetters(agent) === 0, "the agent has seen it");
  await post(agent, "three");
  await ilert.waitFor(({ accepted }) => accepted.length === 1);
  assert.match(ilert.accepted[0]?.event.summary ?? "", /1 dead letters/);
});

Deno.test("a full queue answers 503 with Retry-After and says which bound, and takes events again later", async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  await using agent = await started(ilert, folder, "--queue_max_events", "2");
  await ilert.goDown();
  assert.deepEqual([await post(agent, "a"), await post(agent, "b"), await post(agent, "c")], [200, 200, 503]);
  await ilert.comeBack();
  await ilert.waitFor(({ acceptedCount }) => acceptedCount === 2);
  await until(async () => await post(agent, "d") === 200, "there is room again");
});
