import assert from "node:assert/strict";
import { Alarm } from "../../src/delivery/alarm.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";

function setting() {
  const clock = new FakeClock();
  const log = memoryLog();
  const troubles = new Map<string, string>();
  const sent: string[] = [];
  const state: { outcome: Outcome } = { outcome: { kind: "delivered", correlationId: null } };
  const deliver = (event: AlertEvent) => {
    assert.equal(event.integrationKey, "il1api-alarm");
    sent.push(`${event.eventType} ${event.alertKey}: ${event.summary}`);
    return Promise.resolve(state.outcome);
  };
  const alarm = new Alarm({ deliver }, "il1api-alarm", () => troubles, { clock, log });
  alarm.start();
  return { clock, log, troubles, sent, state, alarm };
}

Deno.test("Alarm raises one alert per trouble while it lasts and resolves it afterwards", async () => {
  const { clock, troubles, sent, alarm } = setting();
  using _ = alarm;
  await clock.advance(10_000);
  troubles.set("disk", "The disk is full.");
  await clock.advance(60_000);
  troubles.delete("disk");
  await clock.advance(60_000);
  assert.deepEqual(sent, ["ALERT ilagent-disk: The disk is full.", "RESOLVE ilagent-disk: It is over."]);
});

Deno.test("Alarm tries again while ilert is away, and not when it is refused", async () => {
  const { clock, troubles, sent, state, log, alarm } = setting();
  using _ = alarm;
  state.outcome = { kind: "retry", cause: "unreachable", status: null, reason: "down", retryAfterMs: null };
  troubles.set("disk", "x");
  await clock.advance(3_500);
  assert.equal(sent.length, 3);
  state.outcome = { kind: "rejected", status: 404, reason: "ilert answered 404", responseBody: "" };
  await clock.advance(10_000);
  assert.equal(sent.length, 4);
  assert.equal(log.lines.filter((line) => line.startsWith("error")).length, 1);
});
