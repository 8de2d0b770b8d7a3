import assert from "node:assert/strict";
import { openForCommand } from "../../src/queue/database.ts";
import { Operator, type Selection } from "../../src/queue/operator.ts";
import type { Settlement } from "../../src/queue/queue.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

const ALL: Selection = { ids: [], key: null, acceptedBefore: null, status: null };

/** Two queued events of one lane, the first waiting for a retry; dead letters with 400 and without a status. */
async function filled(path: string): Promise<void> {
  const clock = new FakeClock();
  await using queue = SqliteQueue.open(path, ROOMY, clock);
  const settle = async (settlement: Settlement) => {
    const head = queue.claim(() => false);
    assert.ok(head);
    await queue.settle(head, settlement);
  };
  const dead = { kind: "dead", attempts: 1, reason: "r", responseBody: null } as const;
  await queue.enqueue(anEvent({ integrationKey: "bad", summary: "refused" }), null);
  await settle({ ...dead, status: 400 });
  await queue.enqueue(anEvent({ integrationKey: "bad", summary: "gave up" }), null);
  await settle({ ...dead, status: null });
  await queue.enqueue(anEvent({ integrationKey: "good", alertKey: "lane", summary: "first" }), null);
  const nextAttemptAt = clock.now() + 60_000;
  await settle({ kind: "waiting", attempts: 2, nextAttemptAt, lastError: "ilert answered 500" });
  await clock.advance(5_000);
  await queue.enqueue(anEvent({ integrationKey: "good", alertKey: "lane", summary: "second" }), null);
}

interface Setting extends Disposable {
  path: string;
  operator: Operator;
  one: (sql: string) => unknown;
}

async function setting(): Promise<Setting> {
  const folder = new TempFolder();
  const path = folder.file("a.db3");
  await filled(path);
  const opened = openForCommand(path, "write");
  return {
    path,
    operator: new Operator(opened.db),
    one: (sql) => Object.values(opened.db.prepare(sql).get() ?? {})[0],
    [Symbol.dispose]() {
      opened[Symbol.dispose]();
      folder[Symbol.dispose]();
    },
  };
}

Deno.test("Operator.find() lists the oldest first, by key, age, status and id, and shows all of a row", async () => {
  using all = await setting();
  const { operator } = all;
  const queued = operator.find("queue", ALL, 10, false);
  assert.deepEqual(queued.map(({ summary, attempts, last_error }) => [summary, attempts, last_error]), [
    ["first", 2, "ilert answered 500"],
    ["second", 0, null],
  ]);
  assert.equal(operator.find("queue", ALL, 1, false).length, 1);
  assert.equal(operator.find("queue", { ...ALL, key: "bad" }, 10, false).length, 0);
  const early = operator.find("queue", { ...ALL, acceptedBefore: "2026-05-04T10:00:05.000Z" }, 10, false);
  assert.deepEqual(early.map(({ summary }) => summary), ["first"]);
  const dead = operator.find("deadletter", { ...ALL, status: 400 }, 10, false);
  assert.deepEqual(dead.map(({ status, payload }) => [status, payload]), [[400, undefined]]);
  const [whole] = operator.find("deadletter", { ...ALL, ids: [String(dead[0]?.id)] }, 10, true);
  assert.equal(JSON.parse(String(whole?.payload)).summary, "refused");
});

Deno.test("Operator.retryQueued() makes waiting events due at once", async () => {
  using all = await setting();
  assert.equal(all.operator.retryQueued({ ...ALL, key: "good" }), 2);
  assert.equal(all.one("SELECT max(next_attempt_at) FROM event_items"), 0);
});

Deno.test("Operator.dropQueued() and purgeDead() count as purged, and the lane goes on at the next start", async () => {
  using all = await setting();
  const first = all.operator.find("queue", ALL, 1, false)[0];
  assert.equal(all.operator.dropQueued({ ...ALL, ids: [String(first?.id)] }), 1);
  assert.equal(all.operator.purgeDead({ ...ALL, status: 400 }), 1);
  assert.equal(all.one("SELECT purged FROM ledger"), 2);
  await using queue = SqliteQueue.open(all.path, ROOMY, new FakeClock());
  assert.equal(queue.claim(() => false)?.event.summary, "second");
  assert.deepEqual(queue.counts, { queued: 1, dead: 1 });
});

Deno.test("Operator.retryDead() queues dead letters anew and refuses those it cannot read, with the reason", async () => {
  using all = await setting();
  using other = openForCommand(all.path, "write");
  const broken = (payload: string, where: string) =>
    other.db.prepare(`UPDATE dead_letters SET payload = ? WHERE ${where}`).run(payload);
  broken("{not json", "status = 400");
  assert.deepEqual(all.operator.retryDead(ALL).refused.map(({ reason }) => reason), [
    "Its payload is not JSON.",
  ]);
  assert.equal(all.one("SELECT attempts FROM event_items WHERE summary = 'gave up'"), 0);
  broken('{"summary":"no key"}', "status = 400");
  assert.deepEqual(all.operator.retryDead(ALL).refused.map(({ reason }) => reason), [
    "Missing field 'integrationKey'.",
  ]);
  assert.equal(all.one("SELECT count(*) FROM dead_letters"), 1);
  assert.equal(all.one("SELECT accepted FROM ledger"), 4);
});

Deno.test("Operator changes nothing where one row cannot be changed", async () => {
  using all = await setting();
  using other = openForCommand(all.path, "write");
  other.db.exec(`CREATE TRIGGER refuse BEFORE DELETE ON event_items WHEN old.summary = 'second'
    BEGIN SELECT RAISE(ABORT, 'no'); END`);
  assert.throws(() => all.operator.dropQueued(ALL), /no/);
  assert.equal(all.one("SELECT count(*) FROM event_items"), 2);
  other.db.exec("DROP TRIGGER refuse");
  other.db.exec(`CREATE TRIGGER refuse BEFORE DELETE ON event_items BEGIN SELECT RAISE(ROLLBACK, 'no'); END`);
  assert.throws(() => all.operator.dropQueued(ALL), /no/);
  assert.equal(all.operator.retryQueued(ALL), 2);
});
