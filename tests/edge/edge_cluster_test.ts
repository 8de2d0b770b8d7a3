/** The loop in high availability. */

import assert from "node:assert/strict";
import type { SinkOutcome } from "../../src/sinks/sink.ts";
import { numberedItems } from "../support/edge_items.ts";
import { type EdgeSetting, edgeSetting, POLL_MS, STANDBY_MS } from "./edge_loop_setting.ts";

function slowly(all: EdgeSetting, ms: number): void {
  all.sink.outcome = () =>
    new Promise<SinkOutcome>((resolve) => all.clock.after(ms, () => resolve({ kind: "delivered" })));
}

Deno.test("EdgeLoop as standby polls at its interval, delivers nothing, is ready, and begins when it becomes leader", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.add(...numberedItems(1, 2));
  all.ilert.role = "standby";
  all.loop.start();
  await all.clock.advance(2 * STANDBY_MS);
  assert.deepEqual(all.ilert.polls, [0, 7, 14].map((at) => ({ at, id: null })));
  assert.deepEqual([all.sink.taken, all.health.error], [[], null]);
  all.ilert.role = "leader";
  await all.clock.advance(STANDBY_MS);
  assert.deepEqual(all.sink.taken, ["1", "2"]);
  await all.clock.advance(POLL_MS);
  assert.deepEqual(all.ilert.polls.at(-1), { at: 31, id: "2" });
  assert.deepEqual(all.store.moves, []);
  assert.ok(all.log.lines.some((line) => line.startsWith("warn This agent is the {role} now")));
});

Deno.test("EdgeLoop breaks off a long batch after one poll interval, to report and poll again", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 12));
  slowly(all, 3_000);
  all.loop.start();
  await all.clock.advance(36_000);
  assert.deepEqual(all.sink.taken, numberedItems(1, 12).map(({ id }) => id));
  // At 10 s beside the fourth item, at 12 s behind it.
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), [
    "0:null",
    "10:3",
    "12:4",
    "22:7",
    "24:8",
    "34:11",
  ]);
});

Deno.test("EdgeLoop without high availability delivers a long batch without a poll", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 12));
  slowly(all, 3_000);
  all.loop.start();
  await all.clock.advance(36_000);
  assert.deepEqual([all.sink.taken.length, all.ilert.polls.length], [12, 1]);
});

Deno.test("EdgeLoop polls beside a single delivery that takes long", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 2));
  slowly(all, 35_000);
  all.loop.start();
  await all.clock.advance(35_000);
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), [
    "0:null",
    "10:null",
    "20:null",
    "30:null",
    "35:1",
  ]);
  assert.deepEqual(all.sink.calls, [["1"], ["2"]]);
});

Deno.test("EdgeLoop, demoted in the middle of a batch, finishes the item in hand, drops the rest and reports nothing", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 9));
  slowly(all, 4_000);
  all.loop.start();
  await all.clock.advance(9_000);
  all.ilert.role = "standby";
  await all.clock.advance(60_000);
  assert.deepEqual(all.sink.taken, ["1", "2", "3"]);
  assert.deepEqual(all.ilert.polls.slice(0, 3).map(({ at, id }) => `${at}:${id}`), [
    "0:null",
    "10:2",
    // The standby interval counts from the end of the item in hand.
    "19:null",
  ]);
  assert.ok(all.ilert.polls.slice(2).every(({ id }) => id === null));
  assert.deepEqual([all.counts.items.givenBack, all.health.error], [6, null]);

  all.ilert.role = "leader";
  const before = all.ilert.polls.length;
  await all.clock.advance(STANDBY_MS + POLL_MS);
  const reports = all.ilert.polls.slice(before).map(({ id }) => id);
  assert.equal(reports[0], null);
  assert.ok(reports.length > 1 && reports.slice(1).every((id) => id !== null), `${reports}`);
});

Deno.test("EdgeLoop, demoted while a sink has many items, lets it finish the one in hand and drop the rest", async () => {
  await using all = edgeSetting({ cluster: true, itemsMax: 4 });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 9));
  slowly(all, 4_000);
  all.loop.start();
  await all.clock.advance(5_000);
  all.ilert.role = "standby";
  await all.clock.advance(60_000);
  assert.deepEqual(all.sink.calls, [["1", "2", "3", "4"]]);
  assert.deepEqual(all.sink.taken, ["1", "2", "3"]);
  assert.deepEqual(all.counts.items, { received: 9, delivered: 3, skipped: 0, givenBack: 6, stopped: 0 });
});

Deno.test("EdgeLoop breaks off a long batch among the items that the sink has, to report and poll again", async () => {
  await using all = edgeSetting({ cluster: true, itemsMax: 100 });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 9));
  slowly(all, 3_000);
  all.loop.start();
  await all.clock.advance(12_000);
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), ["0:null", "10:3", "12:4"]);
  assert.deepEqual(all.sink.calls.map(([first]) => first), ["1", "5"]);
});

Deno.test("EdgeLoop breaks off a batch that it cannot ask ilert about, and delivers nothing while polls fail", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 9));
  slowly(all, 4_000);
  all.loop.start();
  await all.clock.advance(1_000);
  const failed = { kind: "failed", reason: "ilert answered 500", retryAfterMs: null } as const;
  all.ilert.answers = Array(4).fill(failed);
  await all.clock.advance(30_000);
  assert.deepEqual(all.sink.taken, ["1", "2", "3"]);
  assert.equal(all.health.error, "ilert answered 500");
});

Deno.test("EdgeLoop backs off with polls beside a delivery too, and waits as long as ilert asks", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 2));
  slowly(all, 90_000);
  all.loop.start();
  await all.clock.advance(1_000);
  const failed = (retryAfterMs: number | null) => ({ kind: "failed", reason: "no", retryAfterMs }) as const;
  all.ilert.answers = [failed(null), failed(30_000), failed(60_000)];
  await all.clock.advance(120_000);
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), [
    "0:null",
    "10:null",
    "20:null",
    "50:null",
    // Not when the delivery is over, at 90 s.
    "110:1",
    "120:1",
  ]);
});

Deno.test("EdgeLoop falls silent when a delivery hangs for good, so that another agent can lead", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 2));
  all.sink.outcome = () => new Promise(() => {});
  all.loop.start();
  await all.clock.advance(600_000);
  assert.deepEqual(all.ilert.polls.at(-1), { at: 140, id: null });
});

Deno.test("EdgeLoop in a cluster reports what was skipped, and keeps no cursor with it", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 1));
  all.sink.outcome = () => ({ kind: "rejected", status: 400, reason: "no", responseBody: null });
  all.loop.start();
  await all.clock.advance(POLL_MS);
  assert.deepEqual([all.ilert.polls.at(-1)?.id, all.store.cursor, all.store.dead.size], ["1", "0", 1]);
});

Deno.test("EdgeLoop as leader counts its interval from one poll to the next", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 2));
  slowly(all, 3_000);
  all.loop.start();
  await all.clock.advance(10_000);
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), ["0:null", "10:2"]);
});

Deno.test("EdgeLoop does not wait for a hanging poll beside a delivery", async () => {
  await using all = edgeSetting({ cluster: true });
  all.ilert.role = "leader";
  all.ilert.add(...numberedItems(1, 2));
  slowly(all, 12_000);
  const hanging = Promise.withResolvers<void>();
  all.ilert.poll = ((poll) => (query, signal) => {
    if (all.ilert.polls.length === 1) {
      all.ilert.delay = () => hanging.promise;
      signal.addEventListener("abort", () => hanging.resolve());
    }
    return poll.call(all.ilert, query, signal);
  })(all.ilert.poll);
  all.loop.start();
  await all.clock.advance(13_000);
  assert.deepEqual(all.ilert.polls.map(({ at, id }) => `${at}:${id}`), ["0:null", "10:null", "12:1"]);
  assert.deepEqual(all.sink.calls, [["1"], ["2"]]);
});
