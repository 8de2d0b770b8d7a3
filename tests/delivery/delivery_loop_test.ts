import assert from "node:assert/strict";
import { DeliveryLoop, type EventReceiver } from "../../src/delivery/delivery_loop.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const DELIVERED: Outcome = { kind: "delivered", correlationId: "c" };
const UNREACHABLE: Outcome = {
  kind: "retry",
  cause: "unreachable",
  status: null,
  reason: "Connection refused",
  retryAfterMs: null,
};
const SERVER_ERROR: Outcome = {
  kind: "retry",
  cause: "server_error",
  status: 503,
  reason: "ilert answered 503",
  retryAfterMs: null,
};
const REJECTED: Outcome = {
  kind: "rejected",
  status: 400,
  reason: "ilert answered 400",
  responseBody: "bad",
};

function throttled(retryAfterMs: number | null): Outcome {
  return { kind: "retry", cause: "throttled", status: 429, reason: "ilert answered 429", retryAfterMs };
}

/** ilert as a function: what the n-th attempt gets. */
class FakeIlert implements EventReceiver {
  readonly attempts: { summary: string; at: number }[] = [];
  inFlight = 0;
  inFlightMax = 0;
  answer: (event: AlertEvent, signal: AbortSignal) => Outcome | Promise<Outcome> = () => DELIVERED;

  constructor(readonly clock: FakeClock) {}

  async deliver(event: AlertEvent, _path: string | null, signal: AbortSignal): Promise<Outcome> {
    this.attempts.push({ summary: event.summary, at: this.clock.now() });
    this.inFlight++;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    try {
      return await this.answer(event, signal);
    } finally {
      this.inFlight--;
    }
  }

  get summaries(): string[] {
    return this.attempts.map(({ summary }) => summary);
  }
}

/** As the real one: reading it takes time, and its timers fire up to a millisecond early, because they drop fractions. */
class CoarseClock extends FakeClock {
  #readings = 0;

  override monotonic(): number {
    return super.monotonic() + 0.1 * this.#readings++;
  }

  override after(delayMs: number, callback: () => void): () => void {
    return super.after(Math.trunc(delayMs), callback);
  }
}

interface Setting extends AsyncDisposable {
  clock: FakeClock;
  ilert: FakeIlert;
  queue: SqliteQueue;
  loop: DeliveryLoop;
  lines: string[];
  add(...events: Partial<AlertEvent>[]): Promise<void>;
  empty(): Promise<void>;
  /** Moves time on; every attempt under way ends before the next timer fires. */
  pass(ms: number): Promise<void>;
}

function setting(
  options: { retriesMax?: number; concurrency?: number; random?: () => number; clock?: FakeClock } = {},
): Setting {
  const folder = new TempFolder();
  const { clock = new FakeClock() } = options;
  const queue = SqliteQueue.open(folder.file("a.db3"), ROOMY, clock);
  const ilert = new FakeIlert(clock);
  const log = memoryLog();
  const { retriesMax = 100, concurrency = 64, random = () => 0.5 } = options;
  const observer = { attempted: () => {}, delivered: () => {} };
  const loop = new DeliveryLoop(queue, ilert, { concurrency, retriesMax }, { clock, random, log, observer });
  loop.start();
  return {
    clock,
    ilert,
    queue,
    loop,
    lines: log.lines,
    async add(...events) {
      await Promise.all(events.map((event) => queue.enqueue(anEvent(event), null)));
    },
    pass: (ms) => clock.advance(ms, () => loop.state.inFlight === 0),
    empty: () => until(() => queue.counts.queued === 0, "the queue is empty"),
    async [Symbol.asyncDispose]() {
      await loop.stop(0);
      await queue[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function numbered(count: number, event: Partial<AlertEvent> = {}): Partial<AlertEvent>[] {
  return Array.from({ length: count }, (_, i) => ({ ...event, summary: `${i}` }));
}

Deno.test("DeliveryLoop sends an event the moment it is durable, without waiting for a timer", async () => {
  await using all = setting();
  const { add, ilert, clock, empty } = all;
  await add({ summary: "now" });
  await empty();
  assert.deepEqual(ilert.attempts, [{ summary: "now", at: clock.now() }]);
});

Deno.test("DeliveryLoop keeps at most the given number in flight", async () => {
  await using all = setting({ concurrency: 3 });
  const { add, ilert, empty } = all;
  ilert.answer = () => new Promise((resolve) => setTimeout(() => resolve(DELIVERED), 1));
  await add(...numbered(50));
  await empty();
  assert.equal(ilert.inFlightMax, 3);
  assert.equal(ilert.attempts.length, 50);
});

Deno.test("DeliveryLoop keeps the order of a lane across retries while others go on", async () => {
  await using all = setting();
  const { add, ilert, empty, pass } = all;
  let failures = 2;
  ilert.answer = ({ summary }) => summary === "0" && failures-- > 0 ? SERVER_ERROR : DELIVERED;
  await add(...numbered(3, { alertKey: "lane" }), { summary: "other", alertKey: "elsewhere" });
  await until(() => ilert.attempts.length === 2, "the first attempts");
  assert.deepEqual(ilert.summaries.toSorted(), ["0", "other"]);
  await pass(60_000);
  await empty();
  assert.deepEqual(ilert.summaries.filter((summary) => summary !== "other"), ["0", "0", "0", "1", "2"]);
});

Deno.test("DeliveryLoop makes a final rejection a dead letter at once", async () => {
  await using all = setting();
  const { add, ilert, queue, empty, lines } = all;
  ilert.answer = () => REJECTED;
  await add({});
  await empty();
  assert.equal(ilert.attempts.length, 1);
  assert.deepEqual(queue.counts, { queued: 0, dead: 1 });
  assert.ok(lines.some((line) => line.startsWith("error") && line.includes("dead letter")));
  assert.ok(lines.every((line) => !line.includes("il1api-test-key")));
});

Deno.test("DeliveryLoop gives up after max_retries while other events succeed, and never before", async () => {
  await using all = setting({ retriesMax: 7 });
  const { add, ilert, queue, pass } = all;
  ilert.answer = ({ summary }) => summary === "bad" ? SERVER_ERROR : DELIVERED;
  await add({ summary: "bad" });
  for (let second = 0; second < 300 && queue.counts.dead === 0; second++) {
    await add({ summary: "good" });
    await pass(1_000);
  }
  assert.equal(ilert.summaries.filter((summary) => summary === "bad").length, 8);
  assert.deepEqual(queue.counts, { queued: 0, dead: 1 });
});

Deno.test("DeliveryLoop retries for ever where max_retries is 0", async () => {
  await using all = setting({ retriesMax: 0 });
  const { add, ilert, queue, pass } = all;
  ilert.answer = ({ summary }) => summary === "bad" ? SERVER_ERROR : DELIVERED;
  await add({ summary: "bad" });
  for (let minute = 0; minute < 150; minute++) {
    await add({ summary: "good" });
    await pass(60_000);
  }
  assert.ok(ilert.summaries.filter((summary) => summary === "bad").length > 120);
  assert.equal(queue.counts.dead, 0);
});

for (
  const [name, outcome] of [["refused connections", UNREACHABLE], [
    "503 for everything",
    SERVER_ERROR,
  ]] as const
) {
  for (
    const [what, keys, events] of [["many keys", 5, 20], ["one key", 1, 20], ["one event", 1, 1]] as const
  ) {
    Deno.test(`DeliveryLoop makes no dead letter of an hour without the API, by ${name}, with ${what}`, async () => {
      await using all = setting({ retriesMax: 10 });
      const { add, ilert, queue, clock, empty, lines, pass } = all;
      ilert.answer = () => outcome;
      await add(
        ...numbered(events).map((event, i) => ({
          ...event,
          integrationKey: `key-${i % keys}`,
          alertKey: `${i}`,
        })),
      );
      await pass(3_600_000);
      assert.deepEqual(queue.counts, { queued: events, dead: 0 });
      const backAt = clock.now();
      ilert.attempts.length = 0;
      ilert.answer = () => DELIVERED;
      await pass(2_000);
      const first = ilert.attempts[0];
      assert.ok(first !== undefined && first.at - backAt <= 2_000);
      await pass(60_000);
      await empty();
      assert.equal(queue.counts.dead, 0);
      assert.equal(lines.filter((line) => line.includes("ilert takes events again")).length, 1);
    });
  }
}

Deno.test("DeliveryLoop probes one event at a time while the API is away, once a second", async () => {
  await using all = setting();
  const { loop, add, ilert, pass } = all;
  ilert.answer = () => UNREACHABLE;
  await add(...numbered(200));
  await until(() => loop.state.outageSince !== null && loop.state.inFlight === 0, "the outage is noticed");
  await pass(10);
  ilert.attempts.length = 0;
  ilert.inFlightMax = 0;
  await pass(10_000);
  assert.equal(ilert.attempts.length, 10);
  assert.equal(ilert.inFlightMax, 1);
});

Deno.test("DeliveryLoop lets a 429 stop its integration key until Retry-After, and nobody else", async () => {
  await using all = setting({ concurrency: 4 });
  const { add, ilert, queue, clock, empty, pass } = all;
  const limitedUntil = clock.now() + 30_000;
  ilert.answer = ({ integrationKey }) =>
    integrationKey === "limited" && clock.now() < limitedUntil
      ? throttled(limitedUntil - clock.now())
      : DELIVERED;
  await add(...numbered(20, { integrationKey: "limited" }));
  await add(...numbered(100, { integrationKey: "free" }));
  await until(() => queue.counts.queued === 20, "the other key's events are delivered");
  await pass(29_000);
  const early = ilert.attempts.length - 100;
  assert.ok(early >= 1 && early <= 4, `${early} attempts: more than what was in flight when the 429 came`);
  await pass(60_000);
  await empty();
});

Deno.test("DeliveryLoop sends one event ahead after a pause and the rest only after its success", async () => {
  await using all = setting({ concurrency: 2 });
  const { add, ilert, empty, pass } = all;
  let isLimited = true;
  ilert.answer = () => isLimited ? throttled(null) : DELIVERED;
  await add(...numbered(50));
  await pass(120_000);
  const before = ilert.attempts.length;
  assert.ok(before < 20, `${before} attempts against a limit that does not end`);
  isLimited = false;
  await pass(61_000);
  await empty();
});

Deno.test("DeliveryLoop counts a rate limit against the event that met it alone, again and again", async () => {
  await using all = setting({ retriesMax: 3 });
  const { add, ilert, queue, pass } = all;
  ilert.answer = () => throttled(null);
  await add({});
  await pass(300_000);
  assert.equal(ilert.attempts.length, 4);
  assert.equal(queue.counts.dead, 1);
});

Deno.test("DeliveryLoop makes no dead letters of a backlog that a rate limit lets through slowly", async () => {
  await using all = setting({ retriesMax: 3 });
  const { add, ilert, queue, clock, pass } = all;
  let allowance = 0;
  let second = 0;
  ilert.answer = () => {
    const now = Math.floor(clock.now() / 1000);
    if (now !== second) [second, allowance] = [now, 5];
    return allowance-- > 0 ? DELIVERED : throttled((now + 1) * 1000 - clock.now());
  };
  await add(...numbered(200));
  await pass(300_000);
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
  assert.ok(ilert.attempts.length < 500, `${ilert.attempts.length} attempts`);
});

Deno.test("DeliveryLoop retries an attempt that failed by a bug of ours and logs it", async () => {
  await using all = setting();
  const { add, ilert, empty, lines, pass } = all;
  let calls = 0;
  ilert.answer = () => {
    if (calls++ === 0) throw new Error("bug");
    return DELIVERED;
  };
  await add({});
  await pass(5_000);
  await empty();
  assert.ok(lines.some((line) => line.startsWith("error") && line.includes("bug")));
});

Deno.test("DeliveryLoop.stop() waits for what is in flight and claims nothing more", async () => {
  await using all = setting({ concurrency: 1 });
  const { add, ilert, queue, loop } = all;
  let release = () => {};
  ilert.answer = () => new Promise((resolve) => release = () => resolve(DELIVERED));
  await add(...numbered(3));
  await until(() => ilert.inFlight === 1, "one is in flight");
  const stopped = loop.stop(25_000);
  release();
  await stopped;
  assert.deepEqual([ilert.attempts.length, queue.counts.queued], [1, 2]);
});

Deno.test("DeliveryLoop.stop() cuts off what is not answered in time; it stays queued and uncounted", async () => {
  await using all = setting();
  const { add, ilert, queue, loop, clock } = all;
  ilert.answer = (_event, signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve(UNREACHABLE)));
  await add({});
  await until(() => ilert.inFlight === 1, "it is in flight");
  const stopped = loop.stop(25_000);
  await clock.advance(25_000);
  await stopped;
  assert.equal(queue.counts.queued, 1);
  assert.equal(queue.claim(() => false)?.attempts, 0);
});

for (const jump of [-3_600_000, 3_600_000]) {
  Deno.test(`DeliveryLoop keeps its delays when the clock is set by ${jump / 60_000} minutes`, async () => {
    await using all = setting({ random: () => 1 });
    const { add, ilert, clock, queue, pass } = all;
    let failures = 2;
    ilert.answer = () => failures-- > 0 ? SERVER_ERROR : DELIVERED;
    await add({});
    await pass(100);
    clock.jump(jump);
    await add({ summary: "something makes the loop look" });
    await pass(100);
    assert.equal(ilert.summaries.filter((summary) => summary === "Disk full").length, 1);
    await pass(2_000);
    assert.equal(queue.counts.queued, 0);
  });
}

Deno.test("DeliveryLoop probes a key that recovered in turn with one that has a thousand failing lanes", async () => {
  await using all = setting({ retriesMax: 0 });
  const { add, ilert, clock, loop, pass } = all;
  ilert.answer = () => SERVER_ERROR;
  await add(
    ...numbered(1_000, { integrationKey: "a-bad" }).map((event) => ({
      ...event,
      alertKey: event.summary ?? "",
    })),
  );
  await add({ integrationKey: "b-good", summary: "good" });
  await until(() => loop.state.outageSince !== null && loop.state.inFlight === 0, "the outage is noticed");
  await pass(20_000);
  ilert.answer = ({ integrationKey }) => integrationKey === "b-good" ? DELIVERED : SERVER_ERROR;
  ilert.attempts.length = 0;
  const recoveredAt = clock.now();
  await pass(6_000);
  const good = ilert.attempts.find(({ summary }) => summary === "good");
  assert.ok(good !== undefined && good.at - recoveredAt <= 4_000, `${good?.at}`);
});

Deno.test("DeliveryLoop asks at once with a key that has not failed, so that one broken key does not hold back the others", async () => {
  await using all = setting();
  const { add, ilert, clock, loop, pass } = all;
  ilert.answer = ({ integrationKey }) => integrationKey === "bad" ? SERVER_ERROR : DELIVERED;
  await add(...numbered(100, { integrationKey: "bad" }));
  await until(
    () => loop.state.outageSince !== null && loop.state.inFlight === 0,
    "the bad key opens the breaker",
  );
  await pass(10);
  const at = clock.now();
  await add({ integrationKey: "good", summary: "good" });
  await until(() => ilert.summaries.includes("good"), "it is tried");
  assert.equal(clock.now(), at);
});

Deno.test("DeliveryLoop probes on time wherever in a storm, which holds deliveries back, the outage begins", async () => {
  // The outage must begin with the very last delivery that the storm leaves room for: somewhere in here it does.
  for (let delivered = 60; delivered <= 110; delivered++) {
    await using all = setting();
    const { add, ilert, loop, pass } = all;
    let isAway = true;
    ilert.answer = () => isAway && ilert.attempts.length > delivered ? UNREACHABLE : DELIVERED;
    await pass(1_000);
    await add({});
    await pass(51);
    await add(...numbered(400));
    await pass(2_000);
    isAway = false;
    await pass(3_000);
    assert.equal(loop.state.outageSince, null, `after ${delivered} deliveries`);
  }
});

Deno.test("DeliveryLoop sets no timer when it has nothing to wait for", async () => {
  await using all = setting();
  const { add, clock, empty, pass } = all;
  await add({});
  await empty();
  await pass(0);
  assert.equal(clock.timers, 0);
});

Deno.test("DeliveryLoop does not spin while the API is away and the queue is empty", async () => {
  await using all = setting({ retriesMax: 0 });
  const { loop, add, ilert, queue, clock, pass } = all;
  ilert.answer = () => UNREACHABLE;
  await add(...numbered(3));
  await until(() => loop.state.outageSince !== null && loop.state.inFlight === 0, "the outage is noticed");
  for (let held = queue.claim(() => false); held !== null; held = queue.claim(() => false));
  await pass(5_000);
  assert.ok(clock.timers <= 1);
});

Deno.test("DeliveryLoop goes on probing when its timer fires a moment before the probe is due", async () => {
  await using test = setting({ clock: new CoarseClock() });
  test.ilert.answer = () => UNREACHABLE;
  await test.add({ summary: "1" });
  await test.pass(100_000);
  const probes = test.ilert.attempts.length;
  assert.ok(probes > 80, `${probes} attempts in 100 s`);
  test.ilert.answer = () => DELIVERED;
  await test.pass(2_000);
  assert.equal(test.queue.counts.queued, 0);
});
