import assert from "node:assert/strict";
import type { ReturnedItem } from "../../src/edge/edge_store.ts";
import type { SinkOutcome } from "../../src/sinks/sink.ts";
import { numberedItem, numberedItems } from "../support/edge_items.ts";
import { until } from "../support/until.ts";
import { edgeSetting, POLL_MS } from "./edge_loop_setting.ts";

const RETRY: SinkOutcome = { kind: "retry", reason: "the target answered 503" };
const REJECTED: SinkOutcome = {
  kind: "rejected",
  status: 400,
  reason: "the target answered 400",
  responseBody: "no",
};

function returned(n: number): ReturnedItem {
  return { letterId: String(n), item: numberedItem(n), attempts: 0 };
}

function numbers(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, at) => String(first + at));
}

Deno.test("EdgeLoop delivers what polls bring, in order, moves the cursor, and polls each interval from there", async () => {
  await using all = edgeSetting({ cursor: "4" });
  all.ilert.add(...numberedItems(1, 7));
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken, ["5", "6", "7"]);
  assert.deepEqual([all.store.cursor, all.store.moves], ["7", ["5", "6", "7"]]);
  all.ilert.add(numberedItem(8));
  await all.clock.advance(2 * POLL_MS);
  assert.deepEqual(all.sink.taken, ["5", "6", "7", "8"]);
  assert.deepEqual(all.ilert.polls, [{ at: 0, id: "4" }, { at: 10, id: "7" }, { at: 20, id: "8" }]);
  assert.deepEqual(all.counts.polls, ["items", "items", "empty"]);
});

Deno.test("EdgeLoop polls at once after a full batch, ten times in a row, then after an interval", async () => {
  await using all = edgeSetting({ itemsMax: 100 });
  all.ilert.add(...numberedItems(1, 1_350));
  all.loop.start();
  await all.clock.advance(POLL_MS - 1);
  assert.equal(all.ilert.polls.length, 11);
  assert.equal(all.sink.taken.length, 1_100);
  await all.clock.advance(1);
  assert.equal(all.ilert.polls.length, 14);
  assert.deepEqual(all.sink.taken, numbers(1, 1_350));
  assert.deepEqual(all.sink.calls.map((ids) => ids.length), [...Array(13).fill(100), 50]);
});

Deno.test("EdgeLoop stops a batch at a retryable failure, and tries the same item first with the next poll", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 4));
  all.sink.outcome = ({ id }) => id === "3" ? RETRY : { kind: "delivered" };
  all.loop.start();
  await all.clock.advance(2 * POLL_MS - 1);
  assert.deepEqual(all.sink.calls, [["1"], ["2"], ["3"], ["3"]]);
  assert.deepEqual([all.store.cursor, all.health.error], ["2", "the target answered 503"]);
  assert.deepEqual(all.ilert.polls, [{ at: 0, id: "0" }, { at: 10, id: "2" }]);
  assert.deepEqual(all.counts.items, { received: 6, delivered: 2, skipped: 0, givenBack: 4, stopped: 2 });
  all.sink.outcome = () => ({ kind: "delivered" });
  await all.clock.advance(1);
  assert.deepEqual(all.sink.taken, numbers(1, 4));
  assert.equal(all.health.error, null);
  assert.equal(all.log.lines.filter((line) => line.startsWith("error")).length, 1);
});

Deno.test("EdgeLoop makes a dead letter of what the target refuses, with the cursor, and goes on", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 3));
  all.sink.outcome = ({ id }) => id === "2" ? REJECTED : { kind: "delivered" };
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken, ["1", "3"]);
  assert.deepEqual([...all.store.dead.values()], [{
    id: "2",
    payload: numberedItem(2).body,
    alertId: "2",
    status: 400,
    reason: "the target answered 400",
    responseBody: "no",
  }]);
  assert.deepEqual([all.store.cursor, all.health.error], ["3", null]);
});

for (const [status, level] of [[400, "warn"], [401, "error"], [403, "error"], [404, "error"]] as const) {
  Deno.test(`EdgeLoop tells a skip by ${status} as ${level}`, async () => {
    await using all = edgeSetting();
    all.ilert.add(numberedItem(1));
    all.sink.outcome = () => ({ ...REJECTED, status });
    all.loop.start();
    await all.clock.advance(0);
    const lines = all.log.lines.filter((line) => line.includes("dead letter"));
    assert.equal(lines.length, 1);
    const [line = ""] = lines;
    assert.ok(line.startsWith(level), line);
    assert.equal(line.includes("URL and credentials"), level === "error");
  });
}

Deno.test("EdgeLoop stops as on a retryable failure where no dead letter fits in, and goes on once there is room", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 2));
  all.sink.outcome = ({ id }) => id === "1" ? REJECTED : { kind: "delivered" };
  all.store.full = "there are 5 dead letters (--dead_letter_max)";
  all.loop.start();
  await all.clock.advance(POLL_MS - 1);
  assert.deepEqual([all.store.cursor, all.sink.taken, all.store.dead.size], ["0", [], 0]);
  assert.match(all.health.error ?? "", /^there are 5 dead letters/);
  all.store.full = null;
  await all.clock.advance(1);
  assert.deepEqual([all.store.cursor, all.sink.taken, all.store.dead.size], ["2", ["2"], 1]);
});

Deno.test("EdgeLoop does not wait for the disk within a batch nor to poll, but before it delivers from the next batch", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 101));
  all.loop.start();
  all.store.holdDisk();
  await all.clock.advance(0);
  all.ilert.add(numberedItem(102));
  assert.deepEqual(all.sink.taken, []);
  all.store.releaseDisk();
  all.sink.outcome = ({ id }) => {
    if (id === "1") all.store.holdDisk();
    return { kind: "delivered" };
  };
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken, numbers(1, 100));
  assert.deepEqual([all.ilert.polls.at(-1)?.id, all.store.cursor], ["100", "0"]);
  all.store.releaseDisk();
  await all.clock.advance(0);
  assert.deepEqual([all.sink.taken.length, all.store.cursor], [102, "102"]);
});

Deno.test("EdgeLoop makes dead letters of unusable items, once however often they come, and delivers around them", async () => {
  await using all = edgeSetting({ itemsMax: 100 });
  all.ilert.add(numberedItem(1));
  all.ilert.items.push({ kind: "unusable", id: "2", json: '"text"', reason: "the payload is not an object" });
  all.ilert.add(numberedItem(3));
  all.ilert.items.push({ kind: "unusable", id: null, json: '{"a":1}', reason: "the item has no usable id" });
  all.loop.start();
  for (const skipped of [2, 3, 4]) {
    await all.clock.advance(skipped === 2 ? 0 : POLL_MS);
    // The name of an item without an id is computed on another thread.
    await until(() => all.counts.items.skipped === skipped, "the batch is settled");
  }
  assert.deepEqual([all.sink.taken, all.store.cursor], [["1", "3"], "3"]);
  const [second, nameless] = [...all.store.dead.values()];
  assert.deepEqual([second?.id, second?.payload], ["2", '"text"']);
  assert.match(nameless?.id ?? "", /^no-id-[0-9a-f]{24}$/);
  assert.equal(all.log.lines.filter((line) => line.includes("cannot be delivered")).length, 2);
});

Deno.test("EdgeLoop makes two dead letters of items without usable ids that have the same payload", async () => {
  await using all = edgeSetting();
  for (const given of ["a1", "b2"]) {
    const reason = `the item has no usable id ("${given}")`;
    all.ilert.items.push({ kind: "unusable", id: null, json: '{"id":"1"}', reason });
  }
  all.loop.start();
  await until(() => all.counts.items.skipped === 2, "the batch is settled");
  assert.deepEqual([...all.store.dead.values()].map(({ payload }) => payload), ['{"id":"1"}', '{"id":"1"}']);
});

Deno.test("EdgeLoop does not poll in a rush where a full batch does not bring it on", async () => {
  await using all = edgeSetting();
  for (let n = 0; n < 100; n++) {
    all.ilert.items.push({ kind: "unusable", id: null, json: `${n}`, reason: "no object" });
  }
  all.loop.start();
  await until(() => all.counts.items.skipped === 100, "the batch is settled");
  await all.clock.advance(POLL_MS - 1);
  assert.equal(all.ilert.polls.length, 1);
});

Deno.test("EdgeLoop delivers items with odd ids as they came, says so, and does not leave one behind", async () => {
  await using all = edgeSetting();
  all.ilert.add(...[5, 3, 7].map((n) => numberedItem(n)));
  let failures = 1;
  all.sink.outcome = ({ id }) => id === "3" && failures-- > 0 ? RETRY : { kind: "delivered" };
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual([all.sink.taken, all.store.cursor], [["5"], "0"]);
  assert.ok(all.log.lines.some((line) => line.startsWith("warn ilert's items are not in the order")));
  await all.clock.advance(POLL_MS);
  assert.deepEqual([all.sink.taken, all.store.cursor], [["5", "5", "3", "7"], "7"]);
});

Deno.test("EdgeLoop does not take its cursor back for one answer with old ids, but for two in a row", async () => {
  await using all = edgeSetting({ cursor: "500" });
  const old = { kind: "batch", isFull: false, role: null } as const;
  const items = numberedItems(1, 2).map((item) => ({ kind: "item", item }) as const);
  all.ilert.answers = [{ ...old, items }, { ...old, items: [] }, { ...old, items }];
  all.loop.start();
  await all.clock.advance(2 * POLL_MS);
  assert.deepEqual([all.sink.taken, all.store.moves], [["1", "2", "1", "2"], []]);
  all.ilert.answers = [{ ...old, items }];
  await all.clock.advance(POLL_MS);
  assert.deepEqual([all.sink.taken.length, all.store.moves], [6, ["1", "2"]]);
});

Deno.test("EdgeLoop backs off while polls fail, says why in its health, and recovers", async () => {
  await using all = edgeSetting();
  const failed = { kind: "failed", reason: "ilert answered 500", retryAfterMs: null } as const;
  all.ilert.answers = [failed, failed, failed];
  all.loop.start();
  await all.clock.advance(34_999);
  assert.deepEqual([all.health.isPolling, all.health.error], [false, "ilert answered 500"]);
  await all.clock.advance(1);
  assert.deepEqual(all.ilert.polls.map(({ at }) => at), [0, 5, 15, 35]);
  assert.equal(all.health.error, null);
});

Deno.test("EdgeLoop delivers returned items before the next polled one, and at once when it is told of them", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(11, 3));
  all.store.returned = [returned(2), returned(1)];
  all.sink.outcome = ({ id }) => {
    if (id === "11") all.store.returned = [returned(3)];
    return { kind: "delivered" };
  };
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken, ["2", "1", "11", "3", "12", "13"]);
  all.store.returned = [returned(4), returned(5)];
  all.loop.notice();
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken.slice(-2), ["4", "5"]);
  assert.deepEqual([all.ilert.polls.length, all.store.cursor], [1, "13"]);
});

Deno.test("EdgeLoop keeps a returned item that fails, ahead of all others, and buries again what is refused", async () => {
  await using all = edgeSetting();
  all.ilert.add(numberedItem(11));
  all.store.returned = [returned(1), returned(2)];
  all.sink.outcome = ({ id }) => id === "1" ? RETRY : id === "2" ? REJECTED : { kind: "delivered" };
  all.loop.start();
  await all.clock.advance(POLL_MS - 1);
  assert.deepEqual([all.sink.calls, all.store.returned[0]?.attempts], [[["1"]], 1]);
  all.sink.outcome = ({ id }) => id === "2" ? REJECTED : { kind: "delivered" };
  await all.clock.advance(1);
  assert.deepEqual(all.sink.taken, ["1", "11"]);
  assert.deepEqual([...all.store.dead.keys()], ["2"]);
});

Deno.test("EdgeLoop is not ready while a returned item fails, whatever polls bring, until it is delivered", async () => {
  await using all = edgeSetting();
  all.store.returned = [{ letterId: "1", item: numberedItem(1), attempts: 0 }];
  all.sink.outcome = () => RETRY;
  all.loop.start();
  const outcome = Promise.withResolvers<SinkOutcome>();
  await all.clock.advance(POLL_MS - 1);
  assert.equal(all.health.error, "the target answered 503");
  all.sink.outcome = () => outcome.promise;
  await all.clock.advance(1);
  assert.equal(all.health.error, "the target answered 503");
  outcome.resolve({ kind: "delivered" });
  await all.clock.advance(0);
  assert.deepEqual([all.sink.taken, all.health.error], [["1"], null]);
});

Deno.test("EdgeLoop delivers returned items while ilert cannot be reached", async () => {
  await using all = edgeSetting();
  all.ilert.answers = [{ kind: "failed", reason: "ilert answered 500", retryAfterMs: null }];
  all.store.returned = [returned(1)];
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual(all.sink.taken, ["1"]);
});

Deno.test("EdgeLoop moves the cursor behind each item of a sink that takes many, and begins none once it is stopped", async () => {
  await using all = edgeSetting({ itemsMax: 100 });
  all.ilert.add(...numberedItems(1, 9));
  all.sink.outcome = () =>
    new Promise((resolve) => all.clock.after(1_000, () => resolve({ kind: "delivered" })));
  all.loop.start();
  await all.clock.advance(3_500);
  assert.deepEqual([all.store.cursor, all.loop.inHand], ["3", 6]);
  const stopped = all.loop.stop(35_000);
  await all.clock.advance(1_000);
  await stopped;
  assert.deepEqual([all.sink.taken, all.store.cursor], [numbers(1, 4), "4"]);
});

Deno.test("EdgeLoop.stop() finishes the delivery in hand and begins none", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 3));
  const { promise, resolve } = Promise.withResolvers<SinkOutcome>();
  all.sink.outcome = () => promise;
  all.loop.start();
  await all.clock.advance(0);
  let isStopped = false;
  const stopped = all.loop.stop(35_000).then(() => isStopped = true);
  await all.clock.advance(30_000);
  assert.equal(isStopped, false);
  resolve({ kind: "delivered" });
  await stopped;
  assert.deepEqual([all.sink.calls, all.store.cursor, all.ilert.polls.length], [[["1"]], "1", 1]);
  assert.equal(all.health.error, null);
});

Deno.test("EdgeLoop.stop() cuts off a delivery that takes too long, and leaves its item unsettled", async () => {
  await using all = edgeSetting();
  all.ilert.add(...numberedItems(1, 3));
  all.sink.outcome = ({ id }) => id === "1" ? { kind: "delivered" } : new Promise(() => {});
  all.loop.start();
  await all.clock.advance(0);
  const stopped = all.loop.stop(35_000);
  await all.clock.advance(35_000);
  await stopped;
  assert.deepEqual([all.sink.calls, all.store.cursor], [[["1"], ["2"]], "1"]);
  assert.deepEqual([all.health.error, all.counts.items.stopped], [null, 0]);
});

Deno.test("EdgeLoop.stop() does not wait for a poll, and for a disk that takes nothing no longer than its time-out", async () => {
  await using all = edgeSetting();
  const { promise, resolve } = Promise.withResolvers<void>();
  all.ilert.delay = () => promise;
  all.loop.start();
  await all.clock.advance(0);
  const stopped = all.loop.stop(35_000);
  resolve();
  await stopped;
  assert.equal(all.health.error, "no successful poll yet");

  await using other = edgeSetting();
  other.ilert.add(numberedItem(1));
  other.sink.outcome = () => REJECTED;
  other.loop.start();
  await other.clock.advance(0);
  other.ilert.add(numberedItem(2));
  other.store.holdDisk();
  await other.clock.advance(POLL_MS);
  const otherStopped = other.loop.stop(35_000);
  await other.clock.advance(36_000);
  await otherStopped;
  assert.equal(other.store.cursor, "1");
});

Deno.test("EdgeLoop takes a sink that throws, or answers too little, for a retryable failure", async () => {
  await using all = edgeSetting({ itemsMax: 3 });
  all.ilert.add(...numberedItems(1, 3));
  all.sink.outcome = () => {
    throw new Error("boom");
  };
  all.loop.start();
  await all.clock.advance(0);
  assert.deepEqual([all.store.cursor, all.health.error], ["0", "boom"]);
  all.sink.deliver = async function* () {
    yield await Promise.resolve({ kind: "delivered" });
  };
  await all.clock.advance(POLL_MS);
  assert.deepEqual([all.store.cursor, all.health.error], ["1", "the target's answer is not known"]);
});

Deno.test("EdgeLoop goes on after an error of its own, and says it", async () => {
  await using all = edgeSetting();
  all.ilert.add(numberedItem(1));
  let bugs = 1;
  all.ilert.delay = () => bugs-- > 0 ? Promise.reject(new Error("bug")) : Promise.resolve();
  all.loop.start();
  await all.clock.advance(5_000);
  assert.deepEqual(all.sink.taken, ["1"]);
  assert.ok(
    all.log.lines.some((line) => line.startsWith("error The edge connector failed") && line.includes("bug")),
  );
});
