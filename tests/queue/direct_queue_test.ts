import assert from "node:assert/strict";
import { DeliveryLoop } from "../../src/delivery/delivery_loop.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import type { DeadLetter } from "../../src/queue/messages.ts";
import { DirectQueue } from "../../src/queue/direct_queue.ts";
import { QueueUnavailable, type Settlement } from "../../src/queue/queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { until } from "../support/until.ts";

const DELIVERED: Settlement = { kind: "delivered" };
const DEAD: Settlement = { kind: "dead", attempts: 2, status: 400, reason: "no", responseBody: "bad" };
const nobody = () => false;

class Setting implements Disposable {
  readonly clock = new FakeClock();
  readonly buried: DeadLetter[] = [];
  readonly broker = new AbortController();
  isFull = false;
  readonly queue = new DirectQueue({
    bury: (letter) => {
      if (this.isFull) return Promise.reject(new QueueUnavailable("full", 1));
      this.buried.push(letter);
      return Promise.resolve();
    },
  }, this.clock);

  /** How it ended, once it has. */
  deliver(event: Partial<AlertEvent>, signal = this.broker.signal): { end: string } {
    const result = { end: "pending" };
    this.queue.deliver(anEvent(event), "/path", "t", signal)
      .then((end) => result.end = end, (error: Error) => result.end = error.message);
    return result;
  }

  take() {
    return this.queue.claim(nobody) ?? assert.fail("nothing to claim");
  }

  [Symbol.dispose](): void {
    this.queue[Symbol.dispose]();
  }
}

Deno.test("DirectQueue.deliver() resolves when the event is settled, not before", async () => {
  using all = new Setting();
  const first = all.deliver({});
  const second = all.deliver({});
  const claimed = all.take();
  await all.clock.advance(0);
  assert.equal(first.end, "pending");
  await all.queue.settle(claimed, DELIVERED);
  await all.clock.advance(0);
  assert.deepEqual([first.end, second.end, all.queue.size], ["delivered", "pending", 1]);
});

Deno.test("DirectQueue.settle() of a rejected event makes a durable dead letter before the message may be acknowledged", async () => {
  using all = new Setting();
  all.isFull = true;
  const dead = all.deliver({ alertKey: "lane", summary: "dead" });
  const next = all.deliver({ alertKey: "lane", summary: "next" });
  const settled = all.queue.settle(all.take(), DEAD);
  await all.clock.advance(60_000);
  assert.equal(dead.end, "pending");
  assert.equal(all.queue.claim(nobody), null);
  all.isFull = false;
  await all.clock.advance(1_000);
  await settled;
  assert.equal(dead.end, "dead");
  const { event, ...letter } = all.buried[0] as DeadLetter & { kind: "event" };
  assert.equal(event.summary, "dead");
  assert.deepEqual(letter, {
    kind: "event",
    apiPath: "/path",
    topic: "t",
    acceptedAt: Date.parse("2026-05-04T10:00:00Z"),
    death: { attempts: 2, status: 400, reason: "no", responseBody: "bad" },
  });
  await all.queue.settle(all.take(), DELIVERED);
  await all.clock.advance(0);
  assert.equal(next.end, "delivered");
});

Deno.test("DirectQueue forgets what its broker takes back, but for what is being sent, and the lane goes on", async () => {
  using all = new Setting();
  const other = new AbortController();
  const ends = [
    all.deliver({ alertKey: "lane", summary: "sent" }),
    all.deliver({ alertKey: "lane", summary: "behind" }),
    all.deliver({ summary: "ready" }),
    all.deliver({ alertKey: "lane", summary: "kept" }, other.signal),
  ];
  const sent = all.take();
  all.broker.abort(new Error("the connection is gone"));
  await all.clock.advance(0);
  assert.deepEqual(ends.map(({ end }) => end), [
    "the connection is gone",
    "the connection is gone",
    "the connection is gone",
    "pending",
  ]);
  assert.equal(all.queue.claim(nobody), null);
  await all.queue.settle(sent, { kind: "waiting", attempts: 1, nextAttemptAt: 0, lastError: "x" });
  assert.equal(all.take().event.summary, "kept");
  assert.equal(all.queue.size, 1);
});

Deno.test("DirectQueue gives up a dead letter that finds no room when its broker takes the message back, or at the end", async () => {
  using all = new Setting();
  all.isFull = true;
  all.deliver({ summary: "taken back" });
  const takenBack = all.queue.settle(all.take(), DEAD);
  all.broker.abort(new Error("gone"));
  await all.clock.advance(1_000);
  await takenBack;
  const last = all.deliver({ summary: "at the end" }, new AbortController().signal);
  const ended = all.queue.settle(all.take(), DEAD);
  await all.clock.advance(1_000);
  all.queue[Symbol.dispose]();
  await ended;
  assert.deepEqual([all.queue.size, last.end, all.buried.length], [0, "pending", 0]);
});

Deno.test("DirectQueue.settle() rejects where a dead letter fails for another reason than its bounds", async () => {
  const clock = new FakeClock();
  using queue = new DirectQueue({ bury: () => Promise.reject(new Error("bug")) }, clock);
  void queue.deliver(anEvent(), "/path", "t", new AbortController().signal).catch(() => {});
  await assert.rejects(queue.settle(queue.claim(nobody) ?? assert.fail("nothing to claim"), DEAD), /bug/);
});

Deno.test("DirectQueue.claimUntried() hands out an event of a key that has neither failed nor is paused", () => {
  using all = new Setting();
  for (const integrationKey of ["failed", "paused", "fine", "sent"]) all.deliver({ integrationKey });
  assert.equal(all.queue.claim((key) => key !== "sent")?.event.integrationKey, "sent");
  const untried = () => all.queue.claimUntried((key) => key === "paused", new Set(["failed"]));
  assert.equal(untried()?.event.integrationKey, "fine");
  assert.equal(untried(), null);
});

Deno.test("DirectQueue.release() forgets an event whose message was taken back", async () => {
  using all = new Setting();
  all.deliver({});
  const claimed = all.take();
  all.broker.abort(new Error("gone"));
  all.queue.release(claimed);
  assert.equal(all.queue.size, 0);
  await assert.rejects(all.queue.settle(claimed, DELIVERED), /settled already/);
});

Deno.test("DirectQueue.rescan() makes claimable what is due, and what is released at once", async () => {
  using all = new Setting();
  for (const summary of ["soon", "later"]) all.deliver({ summary });
  for (const waitMs of [1_000, 2_000]) {
    const nextAttemptAt = all.clock.now() + waitMs;
    await all.queue.settle(all.take(), { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "down" });
  }
  await all.clock.advance(1_000);
  assert.equal(all.queue.claim(nobody), null);
  all.queue.rescan();
  const soon = all.take();
  assert.deepEqual([soon.event.summary, all.queue.claim(nobody)], ["soon", null]);
  assert.equal(all.queue.nextDueAt(), all.clock.now() + 1_000);
  all.queue.release(soon);
  assert.equal(all.take().event.summary, "soon");
});

Deno.test("DirectQueue.deliver() refuses what its broker has taken back already", async () => {
  using all = new Setting();
  all.broker.abort(new Error("gone"));
  const late = all.deliver({});
  await all.clock.advance(0);
  assert.deepEqual([late.end, all.queue.size], ["gone", 0]);
});

Deno.test("DirectQueue.deliver() is bounded, and takes events again when some have left", async () => {
  using all = new Setting();
  let refused: { end: string } | null = null;
  while (refused === null && all.queue.size < 100_000) {
    const size = all.queue.size;
    const one = all.deliver({});
    if (all.queue.size === size) refused = one;
  }
  await all.clock.advance(0);
  assert.match(refused?.end ?? "", /events are waiting for ilert in memory/);
  await all.queue.settle(all.take(), DELIVERED);
  const size = all.queue.size;
  all.deliver({});
  assert.equal(all.queue.size, size + 1);
});

Deno.test("DirectQueue with a DeliveryLoop retries, keeps lanes in order, and ends each message once", async () => {
  using all = new Setting();
  const { clock, queue } = all;
  const sent: string[] = [];
  const failing = new Set(["a0", "b1"]);
  const ilert = {
    deliver({ summary }: AlertEvent): Promise<Outcome> {
      sent.push(summary);
      if (summary === "b2") {
        return Promise.resolve({ kind: "rejected", status: 400, reason: "no", responseBody: "" });
      }
      if (failing.delete(summary)) {
        const cause = { cause: "server_error", status: 500, reason: "no", retryAfterMs: null } as const;
        return Promise.resolve({ kind: "retry", ...cause });
      }
      return Promise.resolve({ kind: "delivered", correlationId: null });
    },
  };
  const observer = { attempted: () => {}, delivered: () => {} };
  const loop = new DeliveryLoop(queue, ilert, { concurrency: 4, retriesMax: 3 }, {
    ...{ clock, observer, random: () => 0.5, log: memoryLog() },
  });
  loop.start();
  const ends = ["a0", "a1", "b0", "b1", "b2", "b3"].map((summary) =>
    all.deliver({ summary, alertKey: summary.slice(0, 1) })
  );
  await until(() => sent.length >= 3, "the first attempts");
  await clock.advance(60_000, () => loop.state.inFlight === 0);
  assert.deepEqual(sent.filter((name) => name.startsWith("a")), ["a0", "a0", "a1"]);
  assert.deepEqual(sent.filter((name) => name.startsWith("b")), ["b0", "b1", "b1", "b2", "b3"]);
  assert.deepEqual(ends.map(({ end }) => end), [
    "delivered",
    "delivered",
    "delivered",
    "delivered",
    "dead",
    "delivered",
  ]);
  await loop.stop(0);
});
