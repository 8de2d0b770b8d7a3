import assert from "node:assert/strict";
import { HeartbeatLoop } from "../../src/delivery/heartbeat_loop.ts";
import type { PingResult } from "../../src/ilert/api.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";

Deno.test("HeartbeatLoop pings at once and then every 30 s, also while pings hang or fail", async () => {
  const clock = new FakeClock();
  const log = memoryLog();
  const started = clock.now();
  const at: number[] = [];
  const answers: Promise<PingResult>[] = [
    new Promise(() => {}),
    Promise.resolve({ ok: false, reason: "ilert answered 500", isFinal: false }),
  ];
  const ping = () => {
    at.push((clock.now() - started) / 1000);
    return answers[at.length - 1] ?? Promise.resolve<PingResult>({ ok: true, correlationId: null });
  };
  using loop = new HeartbeatLoop({ ping }, "il1hbt1", () => true, { clock, log });
  loop.start();
  await clock.advance(90_000);
  assert.deepEqual(at, [0, 30, 60, 90]);
  assert.deepEqual(log.lines.filter((line) => line.startsWith("warn")), [
    'warn Heartbeat failed: {reason} {"reason":"ilert answered 500"}',
  ]);
});

Deno.test("HeartbeatLoop stops with its disposal", async () => {
  const clock = new FakeClock();
  let pings = 0;
  {
    using loop = new HeartbeatLoop(
      { ping: () => Promise.resolve<PingResult>({ ok: true, correlationId: String(pings++) }) },
      "k",
      () => true,
      { clock, log: memoryLog() },
    );
    loop.start();
  }
  await clock.advance(120_000);
  assert.deepEqual([pings, clock.timers], [1, 0]);
});

Deno.test("HeartbeatLoop leaves out a ping while it may not beat, and goes on later", async () => {
  const clock = new FakeClock();
  let mayBeat = false;
  let pings = 0;
  const ping = () => Promise.resolve<PingResult>({ ok: true, correlationId: String(pings++) });
  using loop = new HeartbeatLoop({ ping }, "k", () => mayBeat, { clock, log: memoryLog() });
  loop.start();
  await clock.advance(60_000);
  assert.equal(pings, 0);
  mayBeat = true;
  await clock.advance(30_000);
  assert.equal(pings, 1);
});
