import assert from "node:assert/strict";
import type { Closing } from "../../../src/clients/mqtt/connection.ts";
import { ReconnectSchedule } from "../../../src/clients/mqtt/reconnect.ts";

const CUT: Closing = { kind: "lost", reason: "reset", isByBroker: false };
const CLOSED_BY_BROKER: Closing = { kind: "lost", reason: "closed", isByBroker: true };
const TAKEN_OVER: Closing = { kind: "taken_over" };

const LATEST = () => 1, EARLIEST = () => 0;

function delays(count: number, next: () => number): number[] {
  return Array.from({ length: count }, next);
}

Deno.test("ReconnectSchedule.afterFailure() doubles from 100 ms to 30 s, spread over the upper half", () => {
  const bounds = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000];
  const latest = new ReconnectSchedule(LATEST), earliest = new ReconnectSchedule(EARLIEST);
  assert.deepEqual(delays(11, () => latest.afterFailure()), bounds);
  assert.deepEqual(delays(11, () => earliest.afterFailure()), bounds.map((bound) => bound / 2));
});

Deno.test("ReconnectSchedule.afterLoss() begins anew after a connection of 10 s, and goes on after a brief one", () => {
  const schedule = new ReconnectSchedule(LATEST);
  delays(5, () => schedule.afterFailure());
  assert.deepEqual(schedule.afterLoss(9_999, CUT), { delayMs: 3200, cause: "network" });
  assert.deepEqual(schedule.afterLoss(10_000, CUT), { delayMs: 100, cause: "network" });
});

Deno.test("ReconnectSchedule.afterLoss() waits longer after each take-over, until left alone for ten minutes", () => {
  const schedule = new ReconnectSchedule(LATEST);
  const waits = delays(7, () => schedule.afterLoss(60_000, TAKEN_OVER).delayMs);
  assert.deepEqual(waits, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.deepEqual(schedule.afterLoss(600_000, TAKEN_OVER), { delayMs: 10_000, cause: "taken_over" });
});

Deno.test("ReconnectSchedule.afterLoss() takes the third close by the broker soon after connecting for a take-over", () => {
  const schedule = new ReconnectSchedule(LATEST);
  const causes = [1_000, 1_000, 1_000, 60_000, 61_000].map((livedMs) =>
    schedule.afterLoss(livedMs, CLOSED_BY_BROKER).cause
  );
  assert.deepEqual(causes, ["network", "network", "probably_taken_over", "probably_taken_over", "network"]);
});

Deno.test("ReconnectSchedule.afterLoss() does not suspect a take-over where the network failed or the connection lived", () => {
  const schedule = new ReconnectSchedule(LATEST);
  for (const [livedMs, closing] of [[1_000, CUT], [6_000, CLOSED_BY_BROKER]] as const) {
    schedule.afterLoss(1_000, CLOSED_BY_BROKER);
    schedule.afterLoss(1_000, CLOSED_BY_BROKER);
    assert.equal(schedule.afterLoss(livedMs, closing).cause, "network");
    assert.equal(schedule.afterLoss(1_000, CLOSED_BY_BROKER).cause, "network");
    schedule.afterLoss(60_000, CUT);
  }
});
