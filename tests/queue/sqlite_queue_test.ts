import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { unaccounted } from "../../src/domain/ledger.ts";
import { openForCommand } from "../../src/queue/database.ts";
import { Operator } from "../../src/queue/operator.ts";
import { LiveLanes } from "../../src/queue/live_lanes.ts";
import { QueueUnavailable, type Settlement } from "../../src/queue/queue.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const DELIVERED: Settlement = { kind: "delivered" };
const nobody = () => false;

function opened():
  & { queue: SqliteQueue; clock: FakeClock; path: string; reopen(): Promise<SqliteQueue> }
  & AsyncDisposable {
  const folder = new TempFolder();
  const clock = new FakeClock();
  const path = folder.file("ilagent.db3");
  let queue = SqliteQueue.open(path, ROOMY, clock);
  return {
    queue,
    clock,
    path,
    async reopen() {
      await queue[Symbol.asyncDispose]();
      return queue = SqliteQueue.open(path, ROOMY, clock);
    },
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function summaries(queue: SqliteQueue, isPaused: (key: string) => boolean = nobody): string[] {
  const claimed: string[] = [];
  for (let next = queue.claim(isPaused); next !== null; next = queue.claim(isPaused)) {
    claimed.push(next.event.summary);
  }
  return claimed;
}

function holds(queue: SqliteQueue): void {
  assert.equal(unaccounted(queue.ledger, queue.counts), 0);
}

Deno.test("SqliteQueue keeps every field of an event across a restart", async () => {
  await using opening = opened();
  const event = anEvent({
    alertKey: "db-1",
    details: "d",
    priority: "HIGH",
    severity: 2,
    images: [{ src: "https://x/i.png", alt: "a" }],
    links: [{ href: "https://x", text: "t" }],
    customDetails: { a: null, n: [1, { b: "\u0000é" }] },
    routingKey: "r",
    labels: { k: "v" },
    services: [{ id: 5 }, { alias: "db" }],
  });
  await opening.queue.enqueue(event, "/v1/events/mqtt/k");
  const claimed = (await opening.reopen()).claim(nobody);
  assert.deepEqual(claimed?.event, event);
  assert.equal(claimed?.apiPath, "/v1/events/mqtt/k");
  assert.equal(claimed?.attempts, 0);
});

Deno.test("SqliteQueue.enqueue() resolves only after another connection can see the row", async () => {
  await using opening = opened();
  using reader = new DatabaseSync(opening.path, { readOnly: true });
  const stored = opening.queue.enqueue(anEvent(), null);
  assert.equal(reader.prepare("SELECT count(*) AS n FROM event_items").get()?.n, 0);
  const { id } = await stored;
  assert.equal(reader.prepare("SELECT id FROM event_items").get()?.id, id);
});

Deno.test("SqliteQueue.claim() hands out the next event of a lane only after the one before is settled", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["1", "2", "3"]) await queue.enqueue(anEvent({ alertKey: "lane", summary }), null);
  for (const summary of ["1", "2", "3"]) {
    const head = queue.claim(nobody);
    assert.equal(head?.event.summary, summary);
    assert.equal(queue.claim(nobody), null);
    assert.ok(head);
    await queue.settle(head, DELIVERED);
  }
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
  holds(queue);
});

Deno.test("SqliteQueue.claim() keeps lanes of the same alert key under different integration keys apart", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ alertKey: "lane", integrationKey: "a", summary: "a" }), null);
  await queue.enqueue(anEvent({ alertKey: "lane", integrationKey: "b", summary: "b" }), null);
  assert.deepEqual(summaries(queue).sort(), ["a", "b"]);
});

Deno.test("SqliteQueue.claim() hands out events without an alert key all at once, oldest first", async () => {
  await using opening = opened();
  const { queue } = opening;
  const order = Array.from({ length: 2_000 }, (_, i) => `${i}`);
  await Promise.all(order.map((summary) => queue.enqueue(anEvent({ summary }), null)));
  assert.deepEqual(summaries(queue), order);
  assert.deepEqual(summaries(queue), []);
});

Deno.test("SqliteQueue.claim() takes turns between integration keys", async () => {
  await using opening = opened();
  for (let i = 0; i < 1_000; i++) {
    void opening.queue.enqueue(anEvent({ integrationKey: "flood", summary: "flood" }), null);
  }
  await opening.queue.enqueue(anEvent({ integrationKey: "quiet", summary: "quiet" }), null);
  const order = summaries(await opening.reopen());
  assert.equal(order.length, 1_001);
  assert.ok(order.indexOf("quiet") < 300, `quiet came ${order.indexOf("quiet")}th`);
});

Deno.test("SqliteQueue.claim() skips paused integration keys until the file is read again", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ integrationKey: "paused", summary: "p" }), null);
  await queue.enqueue(anEvent({ integrationKey: "free", summary: "f" }), null);
  assert.deepEqual(summaries(queue, (key) => key === "paused"), ["f"]);
  assert.deepEqual(summaries(queue), []);
  queue.rescan();
  assert.deepEqual(summaries(queue), ["p"]);
});

Deno.test("SqliteQueue.release() gives an event back as it was", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "x" }), null);
  const claimed = queue.claim(nobody);
  assert.ok(claimed);
  queue.release(claimed);
  assert.deepEqual(queue.claim(nobody), claimed);
});

Deno.test("SqliteQueue.settle() of a failed attempt holds its lane back until the retry is due, across a restart", async () => {
  await using opening = opened();
  let queue = opening.queue;
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "1" }), null);
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "2" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  const nextAttemptAt = opening.clock.now() + 5_000;
  await queue.settle(head, { kind: "waiting", attempts: 3, nextAttemptAt, lastError: "ilert answered 500" });
  assert.equal(queue.nextDueAt(), nextAttemptAt);
  queue.rescan();
  assert.equal(queue.claim(nobody), null);
  queue = await opening.reopen();
  assert.equal(queue.nextDueAt(), nextAttemptAt);
  assert.equal(queue.claim(nobody), null);
  await opening.clock.advance(5_000);
  queue.rescan();
  const retried = queue.claim(nobody);
  assert.deepEqual([retried?.event.summary, retried?.attempts], ["1", 3]);
  assert.equal(queue.nextDueAt(), null);
});

Deno.test("SqliteQueue.claim() gives new events at least half of the places beside due retries", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  for (let i = 0; i < 300; i++) void queue.enqueue(anEvent({ summary: "retry" }), null);
  await queue.enqueue(anEvent({ summary: "retry" }), null);
  const settled: Promise<void>[] = [];
  for (let next = queue.claim(nobody); next !== null; next = queue.claim(nobody)) {
    settled.push(
      queue.settle(next, { kind: "waiting", attempts: 1, nextAttemptAt: clock.now() + 1, lastError: "x" }),
    );
  }
  await Promise.all(settled);
  for (let i = 0; i < 300; i++) void queue.enqueue(anEvent({ summary: "new" }), null);
  await queue.enqueue(anEvent({ summary: "new" }), null);
  await clock.advance(10);
  const first = summaries(await opening.reopen()).slice(0, 256);
  assert.equal(first.filter((summary) => summary === "new").length, 128);
});

Deno.test("SqliteQueue.settle() moves a rejected event to the dead letters and lets its lane go on", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "1", customDetails: { n: 1 } }), null);
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "2" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  await queue.settle(head, {
    kind: "dead",
    attempts: 1,
    status: 400,
    reason: "ilert answered 400",
    responseBody: "no such key",
  });
  assert.equal(queue.claim(nobody)?.event.summary, "2");
  assert.deepEqual(queue.counts, { queued: 1, dead: 1 });
  holds(queue);
  using reader = new DatabaseSync(opening.path, { readOnly: true });
  const letter = reader.prepare("SELECT * FROM dead_letters").get();
  assert.equal(letter?.id, head.id);
  assert.equal(letter?.status, 400);
  assert.equal(letter?.reason, "ilert answered 400");
  assert.equal(letter?.response_body, "no such key");
  assert.equal(letter?.alert_key, "lane");
  assert.equal(letter?.died_at, "2026-05-04T10:00:00.000Z");
  assert.deepEqual(JSON.parse(String(letter?.payload)).customDetails, { n: 1 });
});

Deno.test("SqliteQueue.claimProbe() prefers an integration key that has not failed, then rotates over all lanes", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  for (const integrationKey of ["a", "b"]) {
    for (const n of [1, 2]) {
      await queue.enqueue(anEvent({ integrationKey, summary: `${integrationKey}${n}` }), null);
    }
  }
  const waiting = queue.claim(nobody);
  assert.ok(waiting);
  await queue.settle(waiting, {
    kind: "waiting",
    attempts: 1,
    nextAttemptAt: clock.now() + 60_000,
    lastError: "x",
  });
  const probe = (failed: string[], paused: string[] = []) => {
    const found = queue.claimProbe((key) => paused.includes(key), new Set(failed));
    if (found !== null) queue.release(found);
    return found?.event.summary ?? null;
  };
  assert.equal(probe(["a"]), "b1");
  assert.deepEqual([1, 2, 3, 4, 5].map(() => probe(["a", "b"])), ["a2", "b2", "a1", "b1", "a2"]);
  assert.deepEqual([1, 2, 3].map(() => probe(["a", "b"], ["b"])), ["a1", "a2", "a1"]);
  assert.equal(probe([], ["a", "b"]), null);
});

Deno.test("SqliteQueue.claimProbe() never hands out an event that is already being sent", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "only" }), null);
  assert.ok(queue.claim(nobody));
  assert.equal(queue.claimProbe(nobody, new Set()), null);
  assert.equal(queue.claimProbe(nobody, new Set(["il1api-test-key"])), null);
});

Deno.test("SqliteQueue.enqueue() refuses and stores nothing while the disk takes no writes; settling is kept until it does", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "first" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  using other = new DatabaseSync(opening.path);
  other.exec(
    "CREATE TRIGGER refuse_insert BEFORE INSERT ON event_items BEGIN SELECT RAISE(ABORT, 'no room'); END",
  );
  const settled = queue.settle(head, DELIVERED);
  const refusal = await queue.enqueue(anEvent({ summary: "second" }), null).catch((error: unknown) => error);
  assert.ok(refusal instanceof QueueUnavailable);
  assert.match(refusal.message, /the database cannot be written: no room/);
  await settled;
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
  assert.deepEqual({ ...queue.ledger }, { accepted: 1, delivered: 1, purged: 0 });
  assert.match(queue.failure ?? "", /no room/);
  other.exec("DROP TRIGGER refuse_insert");
  await until(() => queue.failure === null, "the agent notices without being asked to write");
  await queue.enqueue(anEvent({ summary: "third" }), null);
  assert.equal(queue.claim(nobody)?.event.summary, "third");
  holds(queue);
});

Deno.test("SqliteQueue.settle() tries again until the disk takes it, and the lane stays claimed", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "1" }), null);
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "2" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  using other = new DatabaseSync(opening.path);
  other.exec(
    "CREATE TRIGGER refuse_delete BEFORE DELETE ON event_items BEGIN SELECT RAISE(ABORT, 'no'); END",
  );
  const settled = queue.settle(head, DELIVERED);
  await until(() => queue.failure !== null, "the failure is known");
  assert.equal(queue.claim(nobody), null);
  other.exec("DROP TRIGGER refuse_delete");
  await settled;
  assert.equal(queue.failure, null);
  assert.equal(queue.claim(nobody)?.event.summary, "2");
  holds(queue);
});

Deno.test("SqliteQueue.claim() finds every due retry of a key that has many, after a restart", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  await Promise.all(Array.from({ length: 500 }, () => queue.enqueue(anEvent(), null)));
  const settled: Promise<void>[] = [];
  for (let next = queue.claim(nobody); next !== null; next = queue.claim(nobody)) {
    const nextAttemptAt = clock.now() + 1_000;
    settled.push(queue.settle(next, { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "x" }));
  }
  await Promise.all(settled);
  await clock.advance(10_000);
  assert.equal(summaries(await opening.reopen()).length, 500);
});

Deno.test("SqliteQueue.open() takes a retry that is further away than any it sets for due", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  await queue.enqueue(anEvent({ summary: "x" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  const nextAttemptAt = clock.now() + 30 * 24 * 3_600_000;
  await queue.settle(head, { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "x" });
  assert.deepEqual(summaries(await opening.reopen()), ["x"]);
});

Deno.test("SqliteQueue.settle() that can never succeed does not hold back other writes", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "cursed" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  using other = new DatabaseSync(opening.path);
  other.exec(`CREATE TRIGGER curse BEFORE DELETE ON event_items WHEN old.summary = 'cursed'
    BEGIN SELECT RAISE(ABORT, 'cursed'); END`);
  void queue.settle(head, DELIVERED);
  await until(() => queue.failure !== null, "it failed");
  for (let i = 0; i < 20; i++) await queue.enqueue(anEvent({ summary: `${i}` }), null);
  assert.equal(summaries(queue).length, 20);
  other.exec("DROP TRIGGER curse");
  await until(() => queue.counts.queued === 20, "it succeeds after all");
  holds(queue);
});

Deno.test("SqliteQueue.enqueue() refuses at each bound, evicts nothing, and takes events again below it", async () => {
  using folder = new TempFolder();
  const limits = { eventsMax: 3, bytesMax: 200_000, deadLettersMax: 2 };
  await using queue = SqliteQueue.open(folder.file("a.db3"), limits, new FakeClock());
  const take = () => queue.claim(nobody) ?? assert.fail("nothing to claim");
  const refusal = async (event = anEvent()) => {
    const error = await queue.enqueue(event, null).then(() => null, (error: unknown) => error);
    assert.ok(error === null || error instanceof QueueUnavailable);
    return error?.message ?? null;
  };
  const all = await Promise.all([refusal(), refusal(), refusal(), refusal(), refusal()]);
  assert.deepEqual(all.map((one) => one?.includes("--queue_max_events") ?? false), [
    false,
    false,
    false,
    true,
    true,
  ]);
  await queue.settle(take(), DELIVERED);
  assert.equal(await refusal(), null);
  const dead: Settlement = { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null };
  await queue.settle(take(), dead);
  await queue.settle(take(), dead);
  assert.match(await refusal() ?? "", /2 dead letters \(--dead_letter_max\)/);
  assert.ok(queue.nearestBound.fill >= 1);
  assert.deepEqual(queue.counts, { queued: 1, dead: 2 });
  holds(queue);
});

Deno.test("SqliteQueue.enqueue() refuses when the file has as many bytes in use as it may", async () => {
  using folder = new TempFolder();
  await using queue = SqliteQueue.open(
    folder.file("a.db3"),
    { ...ROOMY, bytesMax: 300_000 },
    new FakeClock(),
  );
  const big = anEvent({ details: "x".repeat(15_000) });
  let stored = 0;
  let refusal = "";
  for (; stored < 100 && refusal === ""; stored++) {
    await queue.enqueue(big, null).catch((error: Error) => refusal = error.message);
  }
  assert.ok(stored > 5 && stored < 25, `${stored}`);
  assert.match(refusal, /300000 bytes in use \(--queue_max_bytes\)/);
  for (let head = queue.claim(nobody); head !== null; head = queue.claim(nobody)) {
    await queue.settle(head, DELIVERED);
  }
  await queue.enqueue(big, null);
});

Deno.test("SqliteQueue.noticeChanges() follows what another process has removed; an event in flight is counted once", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["sent", "stays", "dropped"]) await queue.enqueue(anEvent({ summary }), null);
  const sent = queue.claim(nobody);
  assert.ok(sent);
  using other = new DatabaseSync(opening.path);
  other.exec(`BEGIN; DELETE FROM event_items WHERE summary IN ('sent', 'dropped');
    UPDATE ledger SET purged = purged + 2; COMMIT`);
  queue.noticeChanges();
  assert.deepEqual(queue.counts, { queued: 1, dead: 0 });
  await queue.settle(sent, DELIVERED);
  assert.deepEqual({ ...queue.ledger }, { accepted: 3, delivered: 0, purged: 2 });
  assert.deepEqual(summaries(queue), ["stays"]);
  holds(queue);
});

Deno.test("SqliteQueue.enqueue() promises nothing once its file is deleted or replaced; what it holds goes on leaving", async () => {
  await using opening = opened();
  const { queue, path } = opening;
  await queue.enqueue(anEvent({ summary: "held" }), null);
  Deno.renameSync(path, `${path}.away`);
  for (const replace of [() => {}, () => Deno.writeTextFileSync(path, "")]) {
    replace();
    const refusal = await queue.enqueue(anEvent(), null).catch((error: unknown) => error);
    assert.ok(refusal instanceof QueueUnavailable);
    assert.match(refusal.message, /the database file was deleted or replaced/);
    assert.match(queue.failure ?? "", /deleted or replaced/);
  }
  const held = queue.claim(nobody);
  assert.ok(held);
  await queue.settle(held, DELIVERED);
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
  Deno.renameSync(`${path}.away`, path);
  await queue.enqueue(anEvent(), null);
  assert.equal(queue.failure, null);
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() lets a lane go on whose head was dropped, and begin anew after all were", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["1", "2"]) await queue.enqueue(anEvent({ alertKey: "lane", summary }), null);
  await queue.enqueue(anEvent({ alertKey: "emptied", summary: "gone" }), null);
  {
    using other = openForCommand(opening.path, "write");
    const ids = other.db.prepare("SELECT id FROM event_items WHERE summary IN ('1', 'gone')").all();
    const selection = { ids: ids.map(({ id }) => String(id)), key: null, acceptedBefore: null, status: null };
    assert.equal(new Operator(other.db).dropQueued(selection), 2);
  }
  await queue.enqueue(anEvent({ alertKey: "emptied", summary: "came before it was noticed" }), null);
  queue.noticeChanges();
  await queue.enqueue(anEvent({ alertKey: "emptied", summary: "came after" }), null);
  assert.deepEqual(summaries(queue).sort(), ["2", "came before it was noticed"]);
  assert.deepEqual(queue.counts, { queued: 3, dead: 0 });
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() finds the event of a lane that was taken for another's", async () => {
  await using opening = opened();
  const { queue } = opening;
  const { enter } = LiveLanes.prototype;
  // What two lanes with one fingerprint would come to.
  LiveLanes.prototype.enter = () => false;
  try {
    await queue.enqueue(anEvent({ alertKey: "taken-for-another", summary: "waits" }), null);
  } finally {
    LiveLanes.prototype.enter = enter;
  }
  assert.deepEqual(summaries(queue), []);
  queue.noticeChanges();
  await queue.enqueue(anEvent({ alertKey: "other", summary: "later" }), null);
  assert.deepEqual(summaries(queue), ["waits", "later"]);
  assert.equal(queue.noticeChanges(), false);
});

Deno.test("SqliteQueue.noticeChanges() puts a dead letter that is retried at the end of its lane", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["1", "2"]) await queue.enqueue(anEvent({ alertKey: "lane", summary }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  await queue.settle(head, { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null });
  {
    using other = openForCommand(opening.path, "write");
    const all = { ids: [], key: null, acceptedBefore: null, status: null };
    assert.deepEqual(new Operator(other.db).retryDead(all), { retried: 1, refused: [] });
  }
  queue.noticeChanges();
  const order: string[] = [];
  for (const _ of ["2", "1"]) {
    await until(() => queue.counts.dead === 0, "it is noticed");
    const next = queue.claim(nobody);
    assert.ok(next);
    assert.equal(queue.claim(nobody), null);
    order.push(next.event.summary);
    await queue.settle(next, DELIVERED);
  }
  assert.deepEqual(order, ["2", "1"]);
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() that the disk refuses is done once it takes writes again", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["1", "2"]) await queue.enqueue(anEvent({ alertKey: "lane", summary }), null);
  using other = new DatabaseSync(opening.path);
  other.exec(`CREATE TRIGGER refuse BEFORE UPDATE ON event_items BEGIN SELECT RAISE(ABORT, 'no'); END;
    DELETE FROM event_items WHERE summary = '1'; UPDATE ledger SET purged = 1`);
  queue.noticeChanges();
  await until(() => queue.failure !== null, "it is refused");
  other.exec("DROP TRIGGER refuse");
  await until(() => queue.failure === null, "it is tried again");
  await queue.enqueue(anEvent({ alertKey: "lane", summary: "3" }), null);
  assert.deepEqual(summaries(queue), ["2"]);
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() reads the rows once, however many changes it noticed while the disk refused that", async () => {
  await using opening = opened();
  const { queue } = opening;
  using other = new DatabaseSync(opening.path);
  other.exec("CREATE TRIGGER refuse BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'no'); END");
  queue.noticeChanges();
  await until(() => queue.failure !== null, "the failure is known");
  for (let n = 0; n < 3; n++) {
    other.exec(`INSERT INTO ilagent (key, val, created_at) VALUES ('change-${n}', '', '')`);
    assert.equal(queue.noticeChanges(), true);
  }
  const { clear } = LiveLanes.prototype;
  let readings = 0;
  LiveLanes.prototype.clear = function () {
    readings++;
    clear.call(this);
  };
  try {
    other.exec("DROP TRIGGER refuse");
    await until(() => queue.failure === null, "the disk takes it");
    await queue.enqueue(anEvent(), null);
  } finally {
    LiveLanes.prototype.clear = clear;
  }
  assert.equal(readings, 1);
});

Deno.test("SqliteQueue.noticeChanges() finds what changed while the disk was busy with what it had found before", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "died" }), null);
  const claimed = queue.claim(nobody);
  assert.ok(claimed);
  await queue.settle(claimed, { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null });
  using other = openForCommand(opening.path, "write");
  const { syncData } = Deno.FsFile.prototype;
  const disk = Promise.withResolvers<void>(), busy = Promise.withResolvers<void>();
  Deno.FsFile.prototype.syncData = async function () {
    busy.resolve();
    await disk.promise;
    await syncData.call(this);
  };
  try {
    other.db.exec("INSERT INTO ilagent (key, val, created_at) VALUES ('change', '', '')");
    assert.equal(queue.noticeChanges(), true);
    await busy.promise;
    const all = { ids: [], key: null, acceptedBefore: null, status: null };
    assert.deepEqual(new Operator(other.db).retryDead(all), { retried: 1, refused: [] });
    assert.equal(queue.noticeChanges(), true);
  } finally {
    Deno.FsFile.prototype.syncData = syncData;
    disk.resolve();
  }
  await queue.enqueue(anEvent({ summary: "later" }), null);
  assert.deepEqual(summaries(queue), ["died", "later"]);
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() finds an event that was made due at once while its retry was under way, once that is given back", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  await queue.enqueue(anEvent({ summary: "hastened" }), null);
  const first = queue.claim(nobody);
  assert.ok(first);
  const waiting: Settlement = {
    kind: "waiting",
    attempts: 1,
    nextAttemptAt: clock.now() + 1,
    lastError: "e",
  };
  await queue.settle(first, waiting);
  await clock.advance(1);
  queue.rescan();
  const retry = queue.claim(nobody);
  assert.ok(retry);
  {
    using other = openForCommand(opening.path, "write");
    new Operator(other.db).retryQueued({ ids: [], key: null, acceptedBefore: null, status: null });
  }
  queue.noticeChanges();
  await queue.enqueue(anEvent({ summary: "later" }), null);
  queue.release(retry);
  assert.deepEqual(summaries(queue), ["hastened", "later"]);
  holds(queue);
});

Deno.test("SqliteQueue.noticeChanges() finds a retried dead letter that has taken the row of an event under way", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "died" }), null);
  const dying = queue.claim(nobody);
  assert.ok(dying);
  await queue.settle(dying, { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null });
  await queue.enqueue(anEvent({ summary: "under way" }), null);
  const underWay = queue.claim(nobody);
  assert.ok(underWay);
  {
    using other = openForCommand(opening.path, "write");
    const all = { ids: [], key: null, acceptedBefore: null, status: null };
    const operator = new Operator(other.db);
    operator.dropQueued(all);
    assert.deepEqual(operator.retryDead(all), { retried: 1, refused: [] });
  }
  queue.noticeChanges();
  await queue.enqueue(anEvent({ summary: "later" }), null);
  assert.deepEqual(summaries(queue), ["died", "later"]);
  await queue.settle(underWay, DELIVERED);
  holds(queue);
});

Deno.test("SqliteQueue settles an event whose alert key another program has left as a BLOB", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ alertKey: "k", summary: "blob" }), null);
  {
    using other = new DatabaseSync(opening.path);
    other.exec("UPDATE event_items SET alert_key = x'6b31'");
  }
  const reopened = await opening.reopen();
  const claimed = reopened.claim(nobody);
  assert.equal(claimed?.event.summary, "blob");
  await reopened.settle(claimed, DELIVERED);
  assert.deepEqual(reopened.counts, { queued: 0, dead: 0 });
});

Deno.test("SqliteQueue.claimUntried() hands out an event of a key that has arrived since the last probe and has not failed", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const integrationKey of ["failed", "paused", "fresh"]) {
    await queue.enqueue(anEvent({ integrationKey, summary: integrationKey }), null);
  }
  const untried = () => queue.claimUntried((key) => key === "paused", new Set(["failed"]))?.event.summary;
  assert.equal(untried(), "fresh");
  assert.equal(untried(), undefined);
});

Deno.test("SqliteQueue.settle() that is written again after a failed commit leads to the same next event", async () => {
  await using opening = opened();
  const { queue } = opening;
  for (const summary of ["1", "2", "3"]) await queue.enqueue(anEvent({ alertKey: "lane", summary }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  using other = new DatabaseSync(opening.path);
  other.exec("CREATE TRIGGER refuse BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'no'); END");
  const settled = queue.settle(head, DELIVERED);
  await until(() => queue.failure !== null, "it is refused");
  assert.equal(queue.claim(nobody), null);
  other.exec("DROP TRIGGER refuse");
  await settled;
  assert.deepEqual(summaries(queue), ["2"]);
  assert.deepEqual(queue.counts, { queued: 2, dead: 0 });
  holds(queue);
});

Deno.test("SqliteQueue.settle() as dead of an event that an operator has dropped leaves no dead letter", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent({ summary: "dropped" }), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  using other = new DatabaseSync(opening.path);
  other.exec("DELETE FROM event_items; UPDATE ledger SET purged = 1");
  queue.noticeChanges();
  await queue.settle(head, { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null });
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
  queue.noticeChanges();
  holds(queue);
});

Deno.test("SqliteQueue.postpone() moves retries with the clock, later where the disk refuses it now", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  await queue.enqueue(anEvent(), null);
  const head = queue.claim(nobody);
  assert.ok(head);
  const nextAttemptAt = clock.now() + 5_000;
  await queue.settle(head, { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "x" });
  using other = new DatabaseSync(opening.path);
  other.exec("CREATE TRIGGER refuse BEFORE UPDATE ON event_items BEGIN SELECT RAISE(ABORT, 'no'); END");
  queue.postpone(60_000);
  await until(() => queue.failure !== null, "it is refused");
  other.exec("DROP TRIGGER refuse");
  await until(() => queue.nextDueAt() === nextAttemptAt + 60_000, "it is done after all");
});

Deno.test("SqliteQueue.oldestAcceptedAt() is when the oldest queued event came", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  assert.equal(queue.oldestAcceptedAt(), null);
  const { acceptedAt } = await queue.enqueue(anEvent(), null);
  await clock.advance(1_000);
  await queue.enqueue(anEvent(), null);
  assert.equal(queue.oldestAcceptedAt(), acceptedAt);
});

Deno.test("SqliteQueue.claim() passes over what another process has just removed", async () => {
  await using opening = opened();
  for (const summary of ["stays", "removed"]) await opening.queue.enqueue(anEvent({ summary }), null);
  const queue = await opening.reopen();
  using other = new DatabaseSync(opening.path);
  other.exec("DELETE FROM event_items WHERE summary = 'removed'");
  assert.deepEqual(summaries(queue), ["stays"]);
});

Deno.test("SqliteQueue.claimProbe() passes over keys whose events have just been removed, and over one that is being sent", async () => {
  await using opening = opened();
  for (const integrationKey of ["a", "b", "c"]) {
    await opening.queue.enqueue(anEvent({ integrationKey, summary: integrationKey }), null);
  }
  const queue = await opening.reopen();
  using other = new DatabaseSync(opening.path);
  other.exec("DELETE FROM event_items WHERE summary IN ('a', 'b')");
  const failed = new Set(["a", "b", "c"]);
  assert.equal(queue.claimProbe(nobody, failed)?.event.summary, "c");
  assert.equal(queue.claimProbe(nobody, failed), null);
});

Deno.test("SqliteQueue.claimProbe() tries events that wait for a retry, of a key that has not failed first", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  for (const integrationKey of ["a", "b"]) {
    await queue.enqueue(anEvent({ integrationKey, summary: integrationKey }), null);
  }
  for (let next = queue.claim(nobody); next !== null; next = queue.claim(nobody)) {
    const nextAttemptAt = clock.now() + 60_000;
    await queue.settle(next, { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "x" });
  }
  const probe = queue.claimProbe(nobody, new Set(["a"]));
  assert.equal(probe?.event.summary, "b");
  assert.equal(queue.claimProbe(nobody, new Set())?.event.summary, "a");
  assert.equal(queue.claimProbe(nobody, new Set()), null);
  assert.ok(probe);
  queue.release(probe);
  assert.equal(queue.claimProbe(nobody, new Set(["a", "b"]))?.event.summary, "b");
});

Deno.test("SqliteQueue.claimUntried() has nothing where the event that arrived is being sent already", async () => {
  await using opening = opened();
  const { queue } = opening;
  await queue.enqueue(anEvent(), null);
  assert.ok(queue.claim(nobody));
  assert.equal(queue.claimUntried(nobody, new Set()), null);
});

Deno.test("SqliteQueue.claim() takes turns between integration keys with many due retries", async () => {
  await using opening = opened();
  const { queue, clock } = opening;
  const keys = ["a", "b", "c"];
  for (const integrationKey of keys) {
    await Promise.all(
      Array.from(
        { length: 200 },
        () => queue.enqueue(anEvent({ integrationKey, summary: integrationKey }), null),
      ),
    );
  }
  const settled: Promise<void>[] = [];
  for (let next = queue.claim(nobody); next !== null; next = queue.claim(nobody)) {
    const nextAttemptAt = clock.now() + 1;
    settled.push(queue.settle(next, { kind: "waiting", attempts: 1, nextAttemptAt, lastError: "x" }));
  }
  await Promise.all(settled);
  await clock.advance(10);
  queue.rescan();
  const order = summaries(queue);
  assert.equal(order.length, 600);
  for (const key of keys) assert.ok(order.indexOf(key) < 300, `${key} came ${order.indexOf(key)}th`);
});
