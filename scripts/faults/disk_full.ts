/** A disk that fills up while events come in and while deliveries are to be noted down, and gets room again. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import { refusedStart } from "./refused_start.ts";
import type { Circumstances } from "./scenario.ts";
import { SmallFileSystem } from "./small_file_system.ts";

const MEGABYTES = 6;
/** After which the agent must have stumbled over the end of the disk. */
const BYTES_LEFT = 600_000, DETAILS_CHARACTERS = 8_000, EVENTS_MAX = 2_000;
const LANES = 7;
const RECOVERY_MS_MAX = 5_000, DELIVERY_MS_MAX = 20_000;

export async function tryFullDisk(circumstances: Circumstances, findings: Findings): Promise<void> {
  const disk = SmallFileSystem.mount(MEGABYTES);
  if ("refused" in disk) return findings.skip("disk.full", disk.refused);
  using small = disk;
  await using ilert = await IlertEmulator.start();
  await using agent = await AgentRuns.of({
    command: circumstances.command,
    file: small.file("ilagent.db3"),
    ilertUrl: ilert.url,
  });
  await agent.start();
  const sender = new LargeEvents(agent);
  const { acknowledged } = sender;

  await findings.attempt("disk.full.intake", "503 with Retry-After, and /ready says why", async () => {
    await ilert.goDown();
    small.fill(BYTES_LEFT);
    const refusal = await sender.untilRefused();
    assert.equal(refusal.status, 503);
    assert.match(refusal.headers.get("retry-after") ?? "none", /^[1-9]\d*$/);
    assert.match(String((await refusal.json()).error), /full/);
    const ready = await fetch(`${agent.url}/ready`);
    assert.equal(ready.status, 503);
    assert.match(JSON.stringify(await ready.json()), /full/);
    assert.equal(await agent.status("/health"), 204);
  });
  await findings.attempt("disk.full.audit", "the ledger holds on the full disk", async () => {
    const { holds, accepted } = await agent.audit();
    assert.deepEqual({ holds, accepted }, { holds: true, accepted: acknowledged.length });
  });
  await findings.attempt(
    "disk.full.delivery",
    "what is queued goes out all the same, as far as it can",
    async () => {
      await ilert.comeBack();
      await ilert.waitFor(({ acceptedCount }) => acceptedCount > 0, { timeoutMs: DELIVERY_MS_MAX });
    },
  );
  await findings.attempt(
    "disk.full.room",
    "with room again, ready and taking events within 5 s",
    async () => {
      small.free();
      const freedAt = performance.now();
      await until(async () => await agent.status("/ready") === 204, "/ready is 204", RECOVERY_MS_MAX);
      findings.value("disk.full.recovery", performance.now() - freedAt, "ms");
      const answer = await sender.send();
      await answer.body?.cancel();
      assert.equal(answer.status, 200);
    },
  );
  await findings.attempt(
    "disk.full.lost",
    "none of the acknowledged events, each once, in order",
    async () => {
      await ilert.waitFor(({ acceptedCount }) => acceptedCount >= acknowledged.length, {
        timeoutMs: DELIVERY_MS_MAX,
      });
      await until(async () => (await agent.audit()).queued === 0, "the queue is empty");
      assert.deepEqual(arrivedNumbers(ilert), acknowledged);
      assert.deepEqual(ilert.orderViolations, []);
      assert.equal((await agent.audit()).holds, true);
    },
  );
  await findings.attempt(
    "disk.full.start",
    "a start without room is refused in one line, and works with room",
    async () => {
      await ilert.goDown();
      small.fill(BYTES_LEFT);
      await (await sender.untilRefused()).body?.cancel();
      await agent.kill();
      small.fill(0);
      const refused = await refusedStart(agent);
      if (refused !== null) assert.match(refused, /full/);
      await agent.kill();
      small.free();
      await ilert.comeBack();
      await agent.start();
      await ilert.waitFor(() => new Set(arrivedNumbers(ilert)).size === acknowledged.length, {
        timeoutMs: DELIVERY_MS_MAX,
      });
      await until(async () => (await agent.audit()).queued === 0, "the queue is empty");
      assert.equal((await agent.audit()).holds, true);
    },
  );
  await agent.kill();
}

class LargeEvents {
  readonly acknowledged: number[] = [];
  readonly #agent: AgentRuns;
  #sent = 0;

  constructor(agent: AgentRuns) {
    this.#agent = agent;
  }

  async send(): Promise<Response> {
    const n = ++this.#sent;
    const response = await this.#agent.post(alert(n, n % LANES, { details: "x".repeat(DETAILS_CHARACTERS) }));
    if (response.status === 200) this.acknowledged.push(n);
    return response;
  }

  /** The first answer that is no 200. */
  async untilRefused(): Promise<Response> {
    for (let sent = 0; sent < EVENTS_MAX; sent++) {
      const response = await this.send();
      if (response.status !== 200) return response;
      await response.body?.cancel();
    }
    throw new Error(`${EVENTS_MAX} events were acknowledged on a disk without room for them`);
  }
}

function arrivedNumbers(ilert: IlertEmulator): number[] {
  return ilert.accepted.map(({ event }) => Number(event.customDetails?.["n"])).sort((a, b) => a - b);
}
