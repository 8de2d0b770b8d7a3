import assert from "node:assert/strict";
import { type CycleEnd, FIRST_PACING, pace } from "../../src/edge/poll_pacing.ts";

const INTERVALS = { pollMs: 15_000, standbyMs: 7_000 };
const FULL: CycleEnd = { kind: "settled", mayHaveMore: true };
const FAILED: CycleEnd = { kind: "poll_failed", retryAfterMs: null };

/** The delays after these ends, one after the other. */
function delays(ends: CycleEnd[], random = () => 0): number[] {
  let pacing = FIRST_PACING;
  return ends.map((end) => {
    const next = pace(pacing, end, INTERVALS, random);
    pacing = next.pacing;
    return next.delayMs;
  });
}

Deno.test("pace() waits one interval after a batch that was not full, a failed delivery, and as standby its own", () => {
  assert.deepEqual(
    delays([{ kind: "settled", mayHaveMore: false }, { kind: "stopped" }, { kind: "standby" }]),
    [15_000, 15_000, 7_000],
  );
});

Deno.test("pace() polls at once after a full batch, at most ten times in a row, then waits one interval and begins anew", () => {
  const twice = Array.from({ length: 22 }, () => FULL);
  const round = [...Array(10).fill(0), 15_000];
  assert.deepEqual(delays(twice), [...round, ...round]);
});

Deno.test("pace() counts the polls at once anew after anything but a full batch", () => {
  const nine: CycleEnd[] = Array(9).fill(FULL);
  const ends: CycleEnd[] = [...nine, { kind: "stopped" }, ...nine, FULL, FULL];
  assert.deepEqual(delays(ends), [...Array(9).fill(0), 15_000, ...Array(10).fill(0), 15_000]);
});

Deno.test("pace() polls at once after a batch that was broken off", () => {
  assert.deepEqual(delays(Array(30).fill({ kind: "broken_off" })), Array(30).fill(0));
});

Deno.test("pace() backs off from 5 s, doubling to 300 s, and begins anew after a successful poll", () => {
  const failures = Array(9).fill(FAILED);
  const seconds = [5, 10, 20, 40, 80, 160, 300, 300, 300].map((s) => s * 1000);
  assert.deepEqual(delays(failures), seconds);
  assert.deepEqual(delays([FAILED, FAILED, { kind: "standby" }, FAILED]), [5_000, 10_000, 7_000, 5_000]);
  assert.equal(delays(Array(2_000).fill(FAILED)).at(-1), 300_000);
});

Deno.test("pace() adds jitter upwards only, at most a fifth, and never beyond the cap", () => {
  const failures = Array(8).fill(FAILED);
  assert.deepEqual(
    delays(failures, () => 1),
    [6, 12, 24, 48, 96, 192, 300, 300].map((s) => s * 1000),
  );
});

Deno.test("pace() waits as long as ilert asks, up to the cap", () => {
  const asked = (retryAfterMs: number): CycleEnd => ({ kind: "poll_failed", retryAfterMs });
  assert.deepEqual(delays([asked(42_000), asked(1_000), asked(3_600_000)]), [42_000, 10_000, 300_000]);
});
