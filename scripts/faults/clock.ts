/** The wall clock set by an hour, both ways, while events wait: they wait for a span of time, not for an hour of the day. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { FakeWallClock, findFaketime } from "../services/faketime.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const HOUR_S = 3_600;
const EVENTS = 6, LANES = 3;
/** Of ilert, in which the waiting events may be retried a few times. */
const RETRY_AFTER_S = 2;
/** A retry is a few seconds away at most; an hour would be far beyond. */
const DELIVERED_MS_MAX = 20_000;

export async function tryClock({ command }: Circumstances, findings: Findings): Promise<void> {
  if (findFaketime() === null) {
    findings.skip("clock", "libfaketime is missing: deno task services install");
    return;
  }
  using folder = new TempFolder();
  const wallClock = FakeWallClock.in(folder.file(""));
  await using ilert = await IlertEmulator.start({
    identify: ({ integrationKey, customDetails }) => `${integrationKey} ${customDetails?.["n"]}`,
  });
  const { env } = wallClock;
  const file = folder.file("ilagent.db3");
  await using agent = await AgentRuns.of({ command, file, ilertUrl: ilert.url, env });
  await agent.start();
  let total = 0, setTo = 0;
  for (
    const [what, seconds] of [["ahead", HOUR_S], ["back", 0], ["behind", -HOUR_S], ["forth", 0]] as const
  ) {
    const checked =
      `events that wait while the clock is set by an hour (${what}) arrive when ilert takes them`;
    await findings.attempt(`clock.${what}`, checked, async () => {
      const key = `il1api-${what}`;
      ilert.inject({ kind: "status", status: 503, times: EVENTS, key });
      ilert.inject({
        kind: "status",
        status: 429,
        times: 1,
        key,
        headers: { "retry-after": `${RETRY_AFTER_S}` },
      });
      for (let n = 1; n <= EVENTS; n++) {
        assert.equal(await agent.postedStatus(alert(n, n % LANES, { apiKey: key })), 200);
      }
      total += EVENTS;
      wallClock.set(seconds);
      await agent.current.waitForLine(new RegExp(`clock was set by ${seconds - setTo}(\\.\\d)? s`));
      setTo = seconds;
      await ilert.waitFor(() => ilert.acceptedOf(key).length === EVENTS, { timeoutMs: DELIVERED_MS_MAX });
      assert.equal(await agent.status("/ready"), 204);
    });
    ilert.clearFaults();
  }
  await findings.attempt(
    "clock.ledger",
    "nothing is dead, repeated or out of order, and the ledger holds",
    async () => {
      assert.equal(await agent.current.stop(), 0);
      const { accepted, dead, queued, holds } = await agent.audit();
      assert.deepEqual({ accepted, dead, queued, holds }, {
        accepted: total,
        dead: 0,
        queued: 0,
        holds: true,
      });
      assert.deepEqual([ilert.orderViolations, ilert.duplicates], [[], 0]);
    },
  );
}
