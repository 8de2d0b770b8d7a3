/** ilert, or the way to it, failing in every way it can: what was acknowledged arrives, or is a dead letter. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import { API_FAULTS, type ApiFault } from "./api_faults.ts";
import { deadStatuses } from "./dead_letters.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";
import { until } from "../../tests/support/until.ts";

const EVENTS = 6, LANES = 3;
const SETTLED_MS_MAX = 30_000;
/** Beyond the agent's own time-out of 25 to 30 s for one request. */
const HANG_MS_MAX = 60_000;

export async function tryApi(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, isLong } = circumstances;
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start({
    rawFaults: true,
    identify: ({ integrationKey, customDetails }) => `${integrationKey} ${customDetails?.["n"]}`,
  });
  await using agent = await AgentRuns.of({ command, file: folder.file("ilagent.db3"), ilertUrl: ilert.url });
  await agent.start();
  let total = 0, dead = 0;
  for (const fault of API_FAULTS) {
    if (fault.isSlow && !isLong) continue;
    const ending = fault.deadStatus === null ? "delivered" : `a dead letter with ${fault.deadStatus}`;
    await findings.attempt(`api.${fault.what}`, `all acknowledged end up ${ending}`, async () => {
      total += EVENTS;
      if (fault.deadStatus !== null) dead += EVENTS;
      await endure(agent, ilert, fault);
    });
    ilert.clearFaults();
    await ilert.comeBack();
  }
  await findings.attempt("api.ledger", "the ledger holds and lanes kept their order", async () => {
    await until(async () => (await agent.audit()).queued === 0, "the queue is empty");
    assert.equal(await agent.current.stop(), 0);
    const ledger = await agent.audit();
    assert.ok(ledger.holds);
    assert.deepEqual([ledger.accepted, ledger.dead], [total, dead]);
    assert.deepEqual(ilert.orderViolations, []);
  });
  await tryUnreachable(circumstances, findings, ilert);
}

async function endure(agent: AgentRuns, ilert: IlertEmulator, fault: ApiFault): Promise<void> {
  const key = `il1api-${fault.what}`;
  const before = ilert.duplicates;
  for (const one of fault.faults(ilert.url)) ilert.inject({ ...one, key });
  if (fault.isDown) await ilert.goDown();
  for (let n = 1; n <= EVENTS; n++) {
    assert.equal(await agent.postedStatus(alert(n, n % LANES, { apiKey: key })), 200);
  }
  if (fault.isDown) {
    await agent.current.waitForLine(/./);
    await ilert.comeBack();
  }
  if (fault.deadStatus === null) {
    const timeoutMs = fault.isSlow ? HANG_MS_MAX : SETTLED_MS_MAX;
    await ilert.waitFor(() => distinct(ilert, key) === EVENTS, { timeoutMs });
  } else {
    const isBuried = () => deadStatuses(agent.file, key).length === EVENTS;
    await until(isBuried, `${EVENTS} dead letters`, SETTLED_MS_MAX);
    assert.deepEqual(new Set(deadStatuses(agent.file, key)), new Set([fault.deadStatus]));
    assert.equal(distinct(ilert, key), 0);
  }
  if (!fault.mayRepeat) assert.equal(ilert.duplicates, before, "events arrived twice");
  const strays = ilert.requests.filter(({ path }) => path.includes("elsewhere"));
  assert.equal(strays.length, 0, "a redirect was followed");
}

/** The way to ilert is wrong in the configuration: everything waits, and goes out after a restart with a right one. */
async function tryUnreachable({ command }: Circumstances, findings: Findings, ilert: IlertEmulator) {
  const wrongWays: readonly [string, string][] = [
    ["dns", "http://ilert.invalid"],
    ["tls", ilert.url.replace("http:", "https:")],
  ];
  for (const [what, url] of wrongWays) {
    using folder = new TempFolder();
    await using agent = await AgentRuns.of({ command, file: folder.file("ilagent.db3"), ilertUrl: url });
    await findings.attempt(
      `api.${what}`,
      "everything waits, and arrives after a restart with a right host",
      async () => {
        ilert.reset();
        await agent.start();
        for (let n = 1; n <= EVENTS; n++) assert.equal(await agent.postedStatus(alert(n, n)), 200);
        await agent.current.waitForLine(/./);
        assert.equal(await agent.current.stop(), 0);
        const { queued, dead, holds } = await agent.audit();
        assert.deepEqual({ queued, dead, holds }, { queued: EVENTS, dead: 0, holds: true });
        agent.ilertUrl = ilert.url;
        await agent.start();
        await ilert.waitFor(({ acceptedCount }) => acceptedCount === EVENTS);
        assert.equal(await agent.current.stop(), 0);
        assert.ok((await agent.audit()).holds);
      },
    );
  }
}

function distinct(ilert: IlertEmulator, key: string): number {
  return new Set(ilert.acceptedOf(key).map(({ event }) => event.customDetails?.["n"])).size;
}
