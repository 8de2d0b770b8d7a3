import assert from "node:assert/strict";
import { EdgeHealth } from "../../src/edge/edge_health.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";

const DAY_MS = 86_400_000;

function health() {
  const clock = new FakeClock();
  const log = memoryLog();
  return { clock, log, health: new EdgeHealth(6 * DAY_MS, { clock, log }) };
}

Deno.test("EdgeHealth is not ready before the first successful poll", () => {
  const { health: edge } = health();
  assert.deepEqual([edge.isPolling, edge.error], [false, "no successful poll yet"]);
  edge.polled();
  assert.deepEqual([edge.isPolling, edge.error], [true, null]);
});

for (const cure of ["delivered", "idle"] as const) {
  Deno.test(`EdgeHealth is not ready after a failed poll or delivery, until ${cure}() and not before`, () => {
    const { health: edge } = health();
    edge.polled();
    for (const fail of ["pollFailed", "deliveryFailed"] as const) {
      edge[fail]("why");
      assert.deepEqual([edge.isPolling, edge.error], [fail === "deliveryFailed", "why"]);
      edge.polled();
      assert.deepEqual([edge.isPolling, edge.error], [true, "why"]);
      edge[cure]();
      assert.equal(edge.error, null);
    }
  });
}

Deno.test("EdgeHealth is not ready while a delivery waits, says for how long, and once in the log", async () => {
  const { health: edge, clock, log } = health();
  edge.polled();
  edge.waits("nobody reads standard output", 10_000);
  await clock.advance(5_000);
  edge.polled();
  assert.deepEqual([edge.isPolling, edge.error], [true, "nobody reads standard output since 15 s"]);
  edge.goesOn();
  edge.goesOn();
  assert.equal(edge.error, null);
  assert.deepEqual(log.lines, [
    'error Deliveries wait: {reason}; nothing is dropped {"reason":"nobody reads standard output since 10 s"}',
    'warn Deliveries go on after {seconds} s {"seconds":15}',
  ]);
});

Deno.test("EdgeHealth says a trouble once, a new reason again, and how long it took", async () => {
  const { health: edge, clock, log } = health();
  edge.polled();
  edge.deliveryFailed("the target answered 503");
  await clock.advance(30_000);
  edge.deliveryFailed("the target answered 503");
  edge.pollFailed("ilert answered 500");
  await clock.advance(31_000);
  edge.idle();
  edge.idle();
  assert.deepEqual(log.lines.map((line) => line.replace(/ .*\{"/, ' {"')), [
    'error {"reason":"the target answered 503"}',
    'error {"reason":"ilert answered 500"}',
    'warn {"seconds":61}',
  ]);
});

Deno.test("EdgeHealth.lagMs is the age of the first item that is not settled", async () => {
  const { health: edge, clock } = health();
  edge.polled();
  assert.equal(edge.lagMs, 0);
  edge.heading(new Date(clock.now() - 90_000).toISOString());
  await clock.advance(10_000);
  assert.equal(edge.lagMs, 100_000);
  edge.heading("no time at all");
  assert.equal(edge.lagMs, 0);
  edge.heading(new Date(clock.now() + 90_000).toISOString());
  assert.equal(edge.lagMs, 0);
  edge.heading(new Date(0).toISOString());
  edge.idle();
  assert.equal(edge.lagMs, 0);
});

Deno.test("EdgeHealth.lagMs is the time since the last successful poll while polls fail", async () => {
  const { health: edge, clock } = health();
  await clock.advance(1_000);
  edge.pollFailed("why");
  assert.equal(edge.lagMs, 1_000);
  edge.polled();
  await clock.advance(5_000);
  edge.pollFailed("why");
  assert.equal(edge.lagMs, 5_000);
});

Deno.test("EdgeHealth warns in log and error of events that ilert will soon drop, once, and when it is over", async () => {
  const { health: edge, clock, log } = health();
  edge.polled();
  edge.heading(new Date(clock.now() - 6 * DAY_MS + 1_000).toISOString());
  edge.deliveryFailed("the target answered 503");
  edge.watchLag();
  assert.deepEqual([edge.isLate, edge.error], [false, "the target answered 503"]);
  await clock.advance(1_000);
  edge.watchLag();
  edge.watchLag();
  const warning = "events may be 6 days late, and ilert drops them after 7 days";
  assert.deepEqual([edge.isLate, edge.error], [true, `the target answered 503; ${warning}`]);
  edge.idle();
  edge.watchLag();
  edge.watchLag();
  assert.deepEqual(log.lines.slice(1), [
    `error {lateness} {"lateness":"${warning}"}`,
    'warn The edge connector works again, after {seconds} s {"seconds":1}',
    "warn Events are no longer late {}",
  ]);
});
