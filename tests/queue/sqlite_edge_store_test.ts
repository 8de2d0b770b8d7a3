import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { DeadItem } from "../../src/edge/edge_store.ts";
import { unaccounted } from "../../src/domain/ledger.ts";
import { openForCommand } from "../../src/queue/database.ts";
import { EdgeRows } from "../../src/queue/edge_rows.ts";
import { Operator } from "../../src/queue/operator.ts";
import { SqliteEdgeStore } from "../../src/queue/sqlite_edge_store.ts";
import { numberedItem } from "../support/edge_items.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { createRustDatabase } from "../support/rust_database.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

/** The first 16 hex digits of the key's SHA-256. */
const KEY = "iec1-test-key";
const CURSOR = "edge_cursor:39d565a4c8b5749f";

function setting() {
  const folder = new TempFolder();
  const file = folder.file("a.db3");
  const clock = new FakeClock();
  const open = (connectorKey = KEY, deadLettersMax = 1_000) =>
    SqliteEdgeStore.open({ file, connectorKey, deadLettersMax }, clock);
  const rows = (sql: string) => {
    using db = new DatabaseSync(file, { readOnly: true });
    return db.prepare(sql).all().map((row) => ({ ...row }));
  };
  return {
    file,
    clock,
    open,
    rows,
    cursor: () => rows("SELECT val FROM ilagent WHERE key LIKE 'edge_cursor:%'")[0]?.val,
    operate<T>(work: (operator: Operator) => T): T {
      using database = openForCommand(file, "write");
      return work(new Operator(database.db));
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

function dead(n: number, more: Partial<DeadItem> = {}): DeadItem {
  return {
    id: String(n),
    payload: numberedItem(n).body,
    alertId: String(n),
    status: 400,
    reason: "the target answered 400",
    responseBody: "no",
    ...more,
  };
}

const ALL = { ids: [], key: null, acceptedBefore: null, status: null };

function holds(store: SqliteEdgeStore): void {
  assert.equal(unaccounted(store.ledger, store.counts), 0, JSON.stringify([store.ledger, store.counts]));
}

Deno.test("SqliteEdgeStore keeps the cursor under the digest of its key, over restarts", async () => {
  using all = setting();
  {
    await using store = await all.open();
    assert.equal(store.cursor, "0");
    store.moveCursor("17");
    await store.cursorKept();
    assert.equal(store.cursor, "17");
    assert.deepEqual(all.rows("SELECT key, val FROM ilagent WHERE key LIKE 'edge%'"), [{
      key: CURSOR,
      val: "17",
    }]);
    store.moveCursor("9223372036854775807");
  }
  {
    await using again = await all.open();
    assert.equal(again.cursor, "9223372036854775807");
  }
  await using other = await all.open("iec1-another-key");
  assert.equal(other.cursor, "0");
});

Deno.test("SqliteEdgeStore goes on at the cursor of a database that the Rust agent has used", async () => {
  using all = setting();
  const db = createRustDatabase(all.file);
  db.prepare("INSERT INTO ilagent VALUES (?, '4711', 'then')").run(CURSOR);
  db.close();
  await using store = await all.open();
  assert.equal(store.cursor, "4711");
  store.moveCursor("4712");
  await store.cursorKept();
  assert.equal(all.cursor(), "4712");
});

Deno.test("SqliteEdgeStore.open() refuses a cursor that is no id, and leaves the file free", async () => {
  using all = setting();
  const db = createRustDatabase(all.file);
  db.prepare("INSERT INTO ilagent VALUES (?, 'x7', 'then')").run(CURSOR);
  db.close();
  await assert.rejects(
    all.open(),
    /has 'x7' for the cursor edge_cursor:39d565a4c8b5749f, which is no id; restore/,
  );
  await using _store = await all.open("iec1-another-key");
});

Deno.test("SqliteEdgeStore.moveCursor() writes a run of moves as few, the last one in any case", async () => {
  using all = setting();
  await using store = await all.open();
  const before = Deno.statSync(`${all.file}-wal`).size;
  for (let n = 1; n <= 10_000; n++) store.moveCursor(String(n));
  await store.cursorKept();
  assert.equal(all.cursor(), "10000");
  const written = Deno.statSync(`${all.file}-wal`).size - before;
  assert.ok(written < 10 * 8_192, `${written} bytes for 10,000 moves in one turn`);
});

Deno.test("SqliteEdgeStore.moveCursor() leaves a pause of 25 ms between two writes, cut short by cursorKept()", async () => {
  using all = setting();
  await using store = await all.open();
  store.moveCursor("1");
  await until(() => store.cursor === "1", "the first move is written at once");
  for (const id of ["2", "3"]) {
    store.moveCursor(id);
    await all.clock.advance(12);
  }
  assert.equal(store.cursor, "1");
  await all.clock.advance(1);
  await until(() => store.cursor === "3", "the next ones together");
  store.moveCursor("4");
  await store.cursorKept();
  assert.deepEqual([store.cursor, all.cursor()], ["4", "4"]);
});

Deno.test("SqliteEdgeStore.bury() writes dead letter, cursor and ledger together", async () => {
  using all = setting();
  await using store = await all.open();
  store.moveCursor("1");
  await store.bury(dead(2), "2");
  assert.deepEqual(
    all.rows(
      "SELECT id, source, alert_key, payload, status, reason, response_body, attempts FROM dead_letters",
    ),
    [{
      id: "2",
      source: "edge",
      alert_key: "2",
      payload: numberedItem(2).body,
      status: 400,
      reason: "the target answered 400",
      response_body: "no",
      attempts: 1,
    }],
  );
  assert.equal(all.cursor(), "2");
  assert.deepEqual(store.ledger, { accepted: 1, delivered: 0, purged: 0 });
  await store.bury(dead(3, { alertId: "", status: null }), null);
  assert.equal(all.cursor(), "2");
  holds(store);
});

Deno.test("SqliteEdgeStore.bury() keeps one row of an item that comes again, and counts it once", async () => {
  using all = setting();
  await using store = await all.open();
  await store.bury(dead(1), "1");
  await store.bury(dead(1, { reason: "again" }), "1");
  assert.deepEqual(all.rows("SELECT reason FROM dead_letters"), [{ reason: "again" }]);
  holds(store);
  all.operate((operator) => operator.retryDead(ALL));
  store.noticeChanges();
  assert.deepEqual(store.counts, { queued: 1, dead: 0 });
  await store.bury(dead(1, { reason: "while returned" }), "1");
  assert.deepEqual([store.counts, store.firstReturned()], [{ queued: 0, dead: 1 }, null]);
  holds(store);
});

Deno.test("SqliteEdgeStore.bury() keeps letters of items with the same id apart: of two connections, and of ids that begin anew", async () => {
  using all = setting();
  const payloads = [1, 2, 3].map((n) => numberedItem(n).body);
  const bury = async (connectorKey: string, letters: string[]) => {
    await using store = await all.open(connectorKey);
    for (const payload of letters) await store.bury(dead(1, { payload }), "1");
    holds(store);
  };
  await bury(KEY, payloads.slice(0, 2));
  await bury("iec1-another-key", payloads.slice(1));
  // A kill between the letter and ilert's notice of it brings the same ones again.
  await bury(KEY, payloads.slice(0, 2));
  const letters = all.rows("SELECT id, item_id, edge_connection, payload FROM dead_letters ORDER BY rowid");
  assert.deepEqual(
    letters.map(({ item_id, edge_connection, payload }) => [item_id, edge_connection, payload]),
    [
      ["1", "879b0bad865c045d", payloads[1]],
      ["1", "879b0bad865c045d", payloads[2]],
      ["1", CURSOR.slice("edge_cursor:".length), payloads[0]],
      ["1", CURSOR.slice("edge_cursor:".length), payloads[1]],
    ],
  );
  const ids = letters.map(({ id }) => String(id));
  assert.equal(new Set(ids).size, 4);
  for (const id of ids) assert.match(id, /^1(-[0-9a-f]{12})?$/);
});

Deno.test("SqliteEdgeStore hands out returned items of its own connection only, with the item's own id", async () => {
  using all = setting();
  const others = "iec1-another-key";
  for (const connectorKey of [KEY, others]) {
    await using store = await all.open(connectorKey);
    await store.bury(dead(1, { payload: JSON.stringify({ connectorKey }) }), "1");
  }
  assert.deepEqual(all.operate((operator) => operator.retryDead(ALL)), { retried: 2, refused: [] });
  {
    await using store = await all.open(others);
    const returned = store.firstReturned() ?? assert.fail();
    assert.deepEqual([returned.item.id, returned.item.body], ["1", JSON.stringify({ connectorKey: others })]);
    await store.settleReturned(returned, { kind: "dead", status: 404, reason: "gone", responseBody: null });
    assert.equal(store.firstReturned(), null);
    holds(store);
    all.operate((operator) => operator.retryDead(ALL));
    store.noticeChanges();
    assert.equal(store.firstReturned()?.letterId, returned.letterId);
    assert.deepEqual(store.bystanders(), { events: 0, items: 1 });
    // While it is under way the item is refused once more: still one row.
    await store.bury(dead(1, { payload: returned.item.body }), "1");
    assert.deepEqual([store.firstReturned(), store.counts], [null, { queued: 1, dead: 1 }]);
    holds(store);
  }
  await using store = await all.open();
  const returned = store.firstReturned() ?? assert.fail();
  assert.equal(returned.item.body, JSON.stringify({ connectorKey: KEY }));
  await store.settleReturned(returned, { kind: "waiting", lastError: "down" });
  assert.equal(store.firstReturned()?.attempts, 1);
  await store.settleReturned(returned, { kind: "delivered" });
  assert.deepEqual([store.firstReturned(), store.counts], [null, { queued: 0, dead: 1 }]);
  holds(store);
});

Deno.test("SqliteEdgeStore takes letters and returned items of an earlier agent for its own", async () => {
  using all = setting();
  {
    await using store = await all.open();
    for (const n of [1, 2]) await store.bury(dead(n), null);
  }
  {
    using db = new DatabaseSync(all.file);
    db.exec(`
      INSERT INTO edge_items (id, payload, accepted_at) SELECT id, payload, accepted_at FROM dead_letters WHERE id = '2';
      DELETE FROM dead_letters WHERE id = '2';
      UPDATE dead_letters SET item_id = NULL, edge_connection = NULL`);
  }
  await using store = await all.open("iec1-another-key");
  assert.deepEqual(store.firstReturned(), { letterId: "2", item: numberedItem(2), attempts: 0 });
  await store.bury(dead(1, { reason: "again" }), "1");
  assert.deepEqual(all.rows("SELECT id, reason FROM dead_letters"), [{ id: "1", reason: "again" }]);
  assert.equal(all.operate((operator) => operator.retryDead(ALL)).retried, 1);
  store.noticeChanges();
  holds(store);
});

Deno.test("SqliteEdgeStore says when no dead letter fits in, and again when one was removed", async () => {
  using all = setting();
  await using store = await all.open(KEY, 2);
  await store.bury(dead(1), "1");
  assert.equal(store.full, null);
  await store.bury(dead(2), "2");
  assert.equal(store.full, "there are 2 dead letters (--dead_letter_max)");
  all.operate((operator) => operator.purgeDead({ ...ALL, ids: ["1"] }));
  store.noticeChanges();
  assert.equal(store.full, null);
  holds(store);
});

Deno.test("SqliteEdgeStore hands out returned items in the order of their deaths, and settles them with the ledger", async () => {
  using all = setting();
  await using store = await all.open();
  for (const n of [3, 1, 2]) await store.bury(dead(n), null);
  for (let look = 0; look < 2; look++) assert.equal(store.firstReturned(), null);
  let told = 0;
  store.onReturned(() => told++);
  store.noticeChanges();
  assert.equal(told, 0);
  assert.deepEqual(all.operate((operator) => operator.retryDead(ALL)), { retried: 3, refused: [] });
  store.noticeChanges();
  assert.equal(told, 1);
  holds(store);

  const first = store.firstReturned() ?? assert.fail();
  assert.deepEqual(first, { letterId: "3", item: numberedItem(3), attempts: 0 });
  await store.settleReturned(first, { kind: "waiting", lastError: "down" });
  assert.equal(store.firstReturned()?.attempts, 1);
  await store.settleReturned(first, { kind: "delivered" });
  const second = store.firstReturned() ?? assert.fail();
  assert.equal(second.item.id, "1");
  await store.settleReturned(second, { kind: "dead", status: 404, reason: "gone", responseBody: null });
  assert.deepEqual(store.ledger, { accepted: 3, delivered: 1, purged: 0 });
  assert.deepEqual(all.rows("SELECT accepted, delivered, purged FROM ledger"), [store.ledger]);
  assert.deepEqual(store.counts, { queued: 1, dead: 1 });
  assert.deepEqual(all.rows("SELECT id, status, reason, attempts FROM dead_letters"), [
    { id: "1", status: 404, reason: "gone", attempts: 1 },
  ]);
  holds(store);
});

Deno.test("SqliteEdgeStore.settleReturned() counts nothing where an operator has dropped the item meanwhile", async () => {
  using all = setting();
  await using store = await all.open();
  await store.bury(dead(1), null);
  all.operate((operator) => operator.retryDead(ALL));
  store.noticeChanges();
  const returned = store.firstReturned() ?? assert.fail();
  assert.equal(all.operate((operator) => operator.dropQueued(ALL)), 1);
  await store.settleReturned(returned, { kind: "delivered" });
  store.noticeChanges();
  assert.deepEqual(store.ledger, { accepted: 1, delivered: 0, purged: 1 });
  holds(store);
});

Deno.test("Operator finds, hastens and drops returned items beside events, and refuses to return what is no payload", async () => {
  using all = setting();
  await using store = await all.open();
  await store.bury(dead(1), null);
  await store.bury(dead(2, { payload: '"text"', alertId: "" }), null);
  const { retried, refused } = all.operate((operator) => operator.retryDead(ALL));
  assert.deepEqual([retried, refused], [1, [{ id: "2", reason: "Its payload is not a JSON object." }]]);
  const [found] = all.operate((operator) => operator.find("queue", ALL, 10, false));
  assert.deepEqual({ ...found, accepted_at: "" }, {
    id: "1",
    accepted_at: "",
    integration_key: null,
    alert_key: "1",
    event_type: "alert-created",
    summary: "Alert 1",
    attempts: 0,
    next_attempt_at: 0,
    last_error: null,
  });
  const [whole] = all.operate((operator) => operator.find("queue", { ...ALL, ids: ["1"] }, 10, true));
  assert.equal(whole?.payload, numberedItem(1).body);
  assert.equal(all.operate((operator) => operator.find("queue", { ...ALL, key: "k" }, 10, false)).length, 0);
  assert.equal(all.operate((operator) => operator.retryQueued(ALL)), 1);
  assert.equal(all.operate((operator) => operator.dropQueued(ALL)), 1);
  store.noticeChanges();
  holds(store);
});

Deno.test("SqliteEdgeStore buries nothing into a file that is gone, and says so", async () => {
  using all = setting();
  await using store = await all.open();
  Deno.removeSync(all.file);
  let isBuried = false;
  void store.bury(dead(1), "1").then(() => isBuried = true);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual([isBuried, store.cursor], [false, "0"]);
  assert.match(store.failure ?? "", /deleted or replaced/);
});

Deno.test("SqliteEdgeStore.moveCursor() tries until the disk takes it, and says meanwhile what is wrong", async () => {
  using all = setting();
  await using store = await all.open();
  using db = new DatabaseSync(all.file);
  db.exec("CREATE TRIGGER no_cursor BEFORE INSERT ON ilagent BEGIN SELECT RAISE(ABORT, 'no room'); END");
  store.moveCursor("1");
  await until(() => store.failure !== null, "the failure is known");
  assert.match(store.failure ?? "", /the database cannot be written: no room/);
  db.exec("DROP TRIGGER no_cursor");
  await store.cursorKept();
  assert.deepEqual([store.cursor, all.cursor(), store.failure], ["1", "1", null]);
});

Deno.test("SqliteEdgeStore.written() waits for a file that another process holds, as long as it may", async () => {
  using all = setting();
  await using store = await all.open();
  assert.equal(await store.written(1_000), true);
  using other = new DatabaseSync(all.file);
  for (const write of [() => store.moveCursor("1"), () => void store.bury(dead(2), "2")]) {
    other.exec("BEGIN IMMEDIATE");
    write();
    const inVain = store.written(1_000);
    await all.clock.advance(1_000);
    assert.equal(await inVain, false);
    const inTime = store.written(1_000);
    other.exec("ROLLBACK");
    assert.equal(await inTime, true);
  }
  assert.equal(all.cursor(), "2");
});

Deno.test("SqliteEdgeStore.moveCursor() while the cursor is being written is written next", async () => {
  using all = setting();
  await using store = await all.open();
  const { keepCursor } = EdgeRows.prototype;
  EdgeRows.prototype.keepCursor = function (...args) {
    EdgeRows.prototype.keepCursor = keepCursor;
    keepCursor.apply(this, args);
    store.moveCursor("2");
  };
  store.moveCursor("1");
  await store.cursorKept();
  assert.equal(all.cursor(), "2");
});

Deno.test("SqliteEdgeStore keeps a returned item that belongs to no alert as a dead letter without one", async () => {
  using all = setting();
  await using store = await all.open();
  await store.bury(dead(1, { payload: '{"summary":"s"}', alertId: "" }), null);
  all.operate((operator) => operator.retryDead(ALL));
  store.noticeChanges();
  const returned = store.firstReturned() ?? assert.fail();
  await store.settleReturned(returned, { kind: "dead", status: 404, reason: "gone", responseBody: null });
  assert.deepEqual(all.rows("SELECT id, alert_key FROM dead_letters"), [{ id: "1", alert_key: null }]);
  holds(store);
});
