import assert from "node:assert/strict";
import { HeartbeatPings } from "../../src/delivery/heartbeat_pings.ts";
import { IlertApi, type PingResult } from "../../src/ilert/api.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { memoryLog } from "../support/memory_log.ts";

const TAKEN: PingResult = { ok: true, correlationId: null };
const FAILED: PingResult = { ok: false, reason: "ilert answered 500", isFinal: false };
const REFUSED: PingResult = { ok: false, reason: "ilert answered 404", isFinal: true };

function setting(answer: (key: string, attempt: number) => PingResult | Promise<PingResult>) {
  const sent: string[] = [];
  const clock = new FakeClock();
  const log = memoryLog();
  const ping = (key: string, _signal: AbortSignal) => {
    sent.push(key);
    return Promise.resolve(answer(key, sent.filter((other) => other === key).length));
  };
  return { sent, clock, log, pings: new HeartbeatPings({ ping }, { clock, random: () => 1, log }) };
}

function warnings({ lines }: { lines: string[] }): string[] {
  return lines.filter((line) => line.startsWith("warn"));
}

Deno.test("HeartbeatPings passes each heartbeat on once", async () => {
  const { pings, sent, clock, log } = setting(() => TAKEN);
  for (const key of ["a", "b", "a"]) {
    pings.ping(key);
    await clock.advance(0);
  }
  await clock.advance(3_600_000);
  assert.deepEqual(sent, ["a", "b", "a"]);
  assert.deepEqual(warnings(log), []);
});

Deno.test("HeartbeatPings tries a failed ping again with growing pauses, and warns once", async () => {
  const { pings, sent, clock, log } = setting((_, attempt) => attempt < 4 ? FAILED : TAKEN);
  pings.ping("a");
  for (const [ms, expected] of [[0, 1], [499, 1], [1, 2], [999, 2], [1, 3], [2_000, 4]] as const) {
    await clock.advance(ms);
    assert.equal(sent.length, expected);
  }
  assert.equal(warnings(log).length, 1);
  assert.equal(clock.timers, 0);
});

Deno.test("HeartbeatPings takes a ping that throws for one to be repeated", async () => {
  const { pings, sent, clock, log } = setting((_, attempt) =>
    attempt === 1 ? Promise.reject(new Error("bug")) : TAKEN
  );
  pings.ping("a");
  await clock.advance(1_000);
  assert.equal(sent.length, 2);
  assert.match(warnings(log).join(), /bug/);
});

Deno.test("HeartbeatPings does not try a refused ping again", async () => {
  const { pings, sent, clock, log } = setting(() => REFUSED);
  pings.ping("il1hbt-a-key-of-a-test-123");
  await clock.advance(3_600_000);
  assert.equal(sent.length, 1);
  assert.deepEqual(warnings(log), [
    'warn Heartbeat {key} is refused: {reason} {"key":"il1hbt…123","reason":"ilert answered 404"}',
  ]);
});

Deno.test("HeartbeatPings sends a newer ping at once in place of one that waits", async () => {
  const { pings, sent, clock } = setting((_, attempt) => attempt === 9 ? TAKEN : FAILED);
  pings.ping("a");
  await clock.advance(60_000);
  const before = sent.length;
  pings.ping("a");
  await clock.advance(0);
  assert.equal(sent.length, before + 1);
  await clock.advance(499);
  assert.equal(sent.length, before + 1);
  await clock.advance(1);
  assert.deepEqual([before, sent.length, clock.timers], [7, 9, 0]);
});

Deno.test("HeartbeatPings sends one ping for all that came while one was on its way", async () => {
  const gate = Promise.withResolvers<PingResult>();
  const { pings, sent, clock } = setting((_, attempt) => attempt === 1 ? gate.promise : TAKEN);
  for (let times = 0; times < 5; times++) pings.ping("a");
  await clock.advance(0);
  assert.equal(sent.length, 1);
  gate.resolve(TAKEN);
  await clock.advance(60_000);
  assert.equal(sent.length, 2);
});

Deno.test("HeartbeatPings has at most 16 pings on their way, and none of them waits for one that fails", async () => {
  const gate = Promise.withResolvers<PingResult>();
  const { pings, sent, clock } = setting((key) => key.startsWith("hangs") ? gate.promise : TAKEN);
  for (let index = 0; index < 15; index++) pings.ping(`hangs${index}`);
  for (let index = 0; index < 100; index++) pings.ping(`fine${index}`);
  await clock.advance(0);
  assert.equal(sent.length, 115);
  pings.ping("hangs15");
  pings.ping("late");
  await clock.advance(0);
  assert.equal(sent.at(-1), "hangs15");
  gate.resolve(TAKEN);
  await clock.advance(0);
  assert.equal(sent.at(-1), "late");
});

Deno.test("HeartbeatPings gives a ping up after an hour", async () => {
  const { pings, sent, clock, log } = setting(() => FAILED);
  pings.ping("a");
  await clock.advance(2 * 3_600_000);
  assert.equal(clock.timers, 0);
  assert.ok(sent.length > 60, String(sent.length));
  assert.match(warnings(log).at(-1) ?? "", /is given up/);
});

Deno.test("HeartbeatPings gives up the one that was asked for longest ago where too many wait", async () => {
  let isDown = true;
  const { pings, sent, clock, log } = setting(() => isDown ? FAILED : TAKEN);
  for (let index = 0; index < 10_000; index++) pings.ping(`k${index}`);
  // The first 16 are on their way; of the others this one is not the oldest any more.
  pings.ping("k16");
  pings.ping("one too many");
  assert.equal(warnings(log).filter((line) => line.includes("given up")).length, 1);
  isDown = false;
  sent.length = 0;
  await clock.advance(60_000);
  const keys = new Set(sent);
  assert.deepEqual([keys.size, keys.has("k16"), keys.has("k17")], [10_000, true, false]);
  assert.equal(clock.timers, 0);
});

Deno.test("HeartbeatPings.stop() waits for what is on its way and says what it leaves", async () => {
  const gate = Promise.withResolvers<PingResult>();
  const { pings, sent, clock, log } = setting((key) => key === "hangs" ? gate.promise : FAILED);
  pings.ping("hangs");
  pings.ping("fails");
  await clock.advance(0);
  let isOver = false;
  const stopped = pings.stop(10_000).then(() => isOver = true);
  await clock.advance(9_999);
  assert.equal(isOver, false);
  gate.resolve(TAKEN);
  await stopped;
  pings.ping("late");
  await clock.advance(60_000);
  assert.deepEqual([sent, clock.timers], [["hangs", "fails"], 0]);
  assert.equal(warnings(log).at(-1), 'warn {count} heartbeats of messages were not passed on {"count":1}');
});

Deno.test("HeartbeatPings.stop() breaks off at its time-out what has no answer", async () => {
  const clock = new FakeClock();
  const ping = (_: string, signal: AbortSignal) =>
    new Promise<PingResult>((resolve) => signal.addEventListener("abort", () => resolve(FAILED)));
  const log = memoryLog();
  const pings = new HeartbeatPings({ ping }, { clock, random: () => 1, log });
  pings.ping("a");
  const stopped = pings.stop(10_000);
  await clock.advance(10_000);
  await stopped;
  assert.deepEqual([warnings(log).length, clock.timers], [1, 0]);
});

Deno.test("HeartbeatPings brings a heartbeat through an ilert that fails and hangs up", async () => {
  await using ilert = await IlertEmulator.start({ rawFaults: true });
  using api = new IlertApi(
    { apiHost: ilert.url, heartbeatHost: ilert.url, connections: 2 },
    () => Date.now(),
  );
  const pings = new HeartbeatPings(api, { clock: systemClock, random: () => 0, log: memoryLog() });
  ilert.inject({ kind: "status", status: 503, on: "heartbeat", times: 1 });
  ilert.inject({ kind: "reset", on: "heartbeat", times: 1 });
  pings.ping("il1hbt-key");
  await ilert.waitFor(({ requests }) => requests.some(({ status }) => status === 202));
  await pings.stop(1_000);
  assert.equal(ilert.requests.length, 3);
});
