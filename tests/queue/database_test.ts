import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { openDatabase, openForCommand } from "../../src/queue/database.ts";
import { SCHEMA_VERSION } from "../../src/queue/migrations.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { StartupFailure } from "../../src/runtime/startup_failure.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { createEarlierDatabase } from "../support/earlier_database.ts";
import { createRustDatabase, insertRustEvent } from "../support/rust_database.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

const nothing = () => {};

function refusalOf(open: () => Disposable): StartupFailure {
  try {
    open()[Symbol.dispose]();
  } catch (error) {
    assert.ok(error instanceof StartupFailure, String(error));
    assert.ok(!error.message.includes("\n"));
    return error;
  }
  assert.fail("it was opened");
}

Deno.test("openDatabase() uses WAL, a private file, and the log that sync() makes durable is the one SQLite writes", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  using database = openDatabase(path, nothing);
  assert.equal(database.db.prepare("PRAGMA journal_mode").get()?.journal_mode, "wal");
  assert.equal((Deno.statSync(path).mode ?? 0) & 0o077, 0);
  assert.equal((Deno.statSync(`${path}-wal`).mode ?? 0) & 0o077, 0);
  const before = Deno.statSync(`${path}-wal`);
  database.db.exec("INSERT INTO ilagent VALUES ('k', 'v', 'then')");
  await database.sync();
  const after = Deno.statSync(`${path}-wal`);
  assert.equal(after.ino, before.ino);
  assert.ok(after.size > before.size);
});

Deno.test("openDatabase() refuses a file that is no database and leaves it untouched", () => {
  using folder = new TempFolder();
  const path = folder.file("notes.txt");
  Deno.writeTextFileSync(path, "This is not a database, but a long enough text.");
  const refusal = refusalOf(() => openDatabase(path, nothing));
  assert.equal(refusal.exitCode, 2);
  assert.match(refusal.message, /notes\.txt is not an SQLite database; name another file with -f/);
  assert.equal(Deno.readTextFileSync(path), "This is not a database, but a long enough text.");
});

Deno.test("openDatabase() refuses a corrupt file and leaves it untouched", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  openDatabase(path, nothing)[Symbol.dispose]();
  const bytes = Deno.readFileSync(path);
  bytes.fill(0xff, 4096 * 2, 4096 * 3);
  Deno.writeFileSync(path, bytes);
  const refusal = refusalOf(() => openDatabase(path, nothing));
  assert.match(refusal.message, /is corrupt .*'ilagent repair'/);
  assert.deepEqual(Deno.readFileSync(path), bytes);
});

Deno.test("openDatabase() refuses a truncated file", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  openDatabase(path, nothing)[Symbol.dispose]();
  Deno.truncateSync(path, 5_000);
  assert.match(refusalOf(() => openDatabase(path, nothing)).message, /is corrupt/);
});

Deno.test("openDatabase() refuses a file of a newer version, before it switches to WAL", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  using newer = new DatabaseSync(path);
  newer.exec(`CREATE TABLE t (a); PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
  const refusal = refusalOf(() => openDatabase(path, nothing));
  assert.equal(refusal.exitCode, 2);
  assert.match(refusal.message, /was written by a newer ilagent/);
  assert.equal(newer.prepare("PRAGMA journal_mode").get()?.journal_mode, "delete");
});

Deno.test("openDatabase() refuses another program's database and leaves it untouched", () => {
  using folder = new TempFolder();
  for (
    const [name, sql] of [["a", "CREATE TABLE t (a)"], [
      "b",
      "CREATE TABLE t (a); PRAGMA user_version = 1",
    ]] as const
  ) {
    const path = folder.file(name);
    {
      using other = new DatabaseSync(path);
      other.exec(sql);
    }
    const bytes = Deno.readFileSync(path);
    const refusal = refusalOf(() => openDatabase(path, nothing));
    assert.equal(refusal.exitCode, 2);
    assert.match(refusal.message, /is the database of another program/);
    assert.deepEqual(Deno.readFileSync(path), bytes);
  }
});

Deno.test("openDatabase() refuses a log that SQLite would silently pass over, and not one of zeros", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  openDatabase(path, nothing)[Symbol.dispose]();
  Deno.writeFileSync(`${path}-wal`, new Uint8Array(4096).fill(0xa5));
  const refusal = refusalOf(() => openDatabase(path, nothing));
  assert.equal(refusal.exitCode, 1);
  assert.match(refusal.message, /a\.db3-wal is damaged, and with it the events that were accepted last/);
  assert.equal(Deno.statSync(`${path}-wal`).size, 4096);
  Deno.writeFileSync(`${path}-wal`, new Uint8Array(4096));
  openDatabase(path, nothing)[Symbol.dispose]();
});

Deno.test("openDatabase() takes an empty or begun log, and names one that cannot be read", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  openDatabase(path, nothing)[Symbol.dispose]();
  for (const size of [0, 10]) {
    Deno.writeFileSync(`${path}-wal`, new Uint8Array(size).fill(0xa5));
    openDatabase(path, nothing)[Symbol.dispose]();
  }
  Deno.symlinkSync(`${path}-wal`, `${path}-wal`);
  assert.match(refusalOf(() => openDatabase(path, nothing)).message, /cannot use the database .*a\.db3/);
});

Deno.test("openDatabase() names a path through a file, and a link to itself", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  openDatabase(path, nothing)[Symbol.dispose]();
  assert.match(
    refusalOf(() => openDatabase(`${path}/b.db3`, nothing)).message,
    /cannot use the database .*b\.db3/,
  );
  assert.match(refusalOf(() => openForCommand(`${path}/b.db3`, "read")).message, /b\.db3/);
  const loop = folder.file("loop.db3");
  Deno.symlinkSync(loop, loop);
  assert.match(refusalOf(() => openDatabase(loop, nothing)).message, /cannot use the database .*loop\.db3/);
});

Deno.test("openDatabase() does not check a large file page by page: that would keep the intake closed for seconds", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using database = openDatabase(path, nothing);
    database.db.exec("CREATE TABLE large (a); INSERT INTO large VALUES (zeroblob(70000000))");
  }
  using file = Deno.openSync(path, { write: true });
  file.seekSync(-4096 * 10, Deno.SeekMode.End);
  file.writeSync(new Uint8Array(4096).fill(0xa5));
  openDatabase(path, nothing)[Symbol.dispose]();
});

Deno.test("openDatabase() leaves nothing of a start that failed, also where SQLite has rolled back by itself", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  for (const before of ["CREATE TABLE unfinished (a)", "ROLLBACK"]) {
    const failing = (db: DatabaseSync) => {
      db.exec(before);
      throw new Error("disk I/O error");
    };
    assert.match(refusalOf(() => openDatabase(path, failing)).message, /disk I\/O error/);
  }
  using reader = new DatabaseSync(path, { readOnly: true });
  assert.deepEqual(reader.prepare("SELECT name FROM sqlite_master").all(), []);
});

Deno.test("openDatabase() lets one agent in at a time and says so with the way out", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using _first = openDatabase(path, nothing);
    const refusal = refusalOf(() => openDatabase(path, nothing));
    assert.equal(refusal.exitCode, 1);
    assert.match(refusal.message, /a\.db3 is in use by another ilagent; .* -f$/);
  }
  openDatabase(path, nothing)[Symbol.dispose]();
});

Deno.test("openDatabase() names a folder that is not there", () => {
  using folder = new TempFolder();
  const refusal = refusalOf(() => openDatabase(folder.file("gone/a.db3"), nothing));
  assert.equal(refusal.exitCode, 2);
  assert.match(
    refusal.message,
    /gone\/a\.db3: no such file or directory; name a file in a writable folder with -f/,
  );
});

Deno.test("openForCommand() creates nothing and refuses a file that this version of the agent has never used", () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  assert.match(refusalOf(() => openForCommand(path, "read")).message, /no such file/);
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  createRustDatabase(path)[Symbol.dispose]();
  assert.match(refusalOf(() => openForCommand(path, "read")).message, /start the daemon once/);
  const earlier = folder.file("b.db3");
  createEarlierDatabase(earlier)[Symbol.dispose]();
  assert.match(refusalOf(() => openForCommand(earlier, "write")).message, /start the daemon once/);
});

Deno.test("openDatabase() takes over a file of the Rust agent: its rows are claimed in order, per lane, and counted", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using rust = createRustDatabase(path);
    insertRustEvent(rust, {
      id: "1",
      alert_key: "lane",
      summary: "first",
      event_api_path: "/v1/events/mqtt/K",
    });
    insertRustEvent(rust, {
      id: "2",
      alert_key: "lane",
      summary: "second",
      links: '[{"href":"h","text":"t"}]',
    });
    insertRustEvent(rust, {
      id: "3",
      summary: "keyless",
      custom_details: "{not json",
      event_type: "RESOLVE",
    });
  }
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  assert.deepEqual({ ...queue.ledger }, { accepted: 3, delivered: 0, purged: 0 });
  const claimed = [queue.claim(() => false), queue.claim(() => false), queue.claim(() => false)];
  assert.deepEqual(claimed.map((one) => one?.event.summary), ["first", "keyless", undefined]);
  assert.equal(claimed[0]?.apiPath, "/v1/events/mqtt/K");
  assert.equal(claimed[1]?.event.customDetails, undefined);
  assert.equal(claimed[1]?.event.eventType, "RESOLVE");
});

Deno.test("openDatabase() makes dead letters of the Rust agent's rows that have no usable integration key", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using rust = createRustDatabase(path);
    insertRustEvent(rust, { id: "1", integration_key: "", summary: "keyless" });
    insertRustEvent(rust, { id: "2", integration_key: "a\0b", summary: "cut" });
    insertRustEvent(rust, { id: "3", summary: "good" });
  }
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  assert.deepEqual(queue.counts, { queued: 1, dead: 2 });
  assert.deepEqual({ ...queue.ledger }, { accepted: 3, delivered: 0, purged: 0 });
  assert.equal(queue.claim(() => false)?.event.summary, "good");
});

Deno.test("openDatabase() takes over a file from before the Rust agent's own migrations", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using oldest = new DatabaseSync(path);
    oldest.exec(`CREATE TABLE ilagent (key TEXT PRIMARY KEY, val TEXT NOT NULL, created_at TEXT NOT NULL);
      INSERT INTO ilagent VALUES ('mig_1', '1', 'then');
      CREATE TABLE event_items (id TEXT PRIMARY KEY, api_key TEXT NOT NULL, event_type TEXT NOT NULL,
        incident_key TEXT NULL, summary TEXT NOT NULL, created_at TEXT NOT NULL, priority TEXT NULL, images TEXT NULL,
        links TEXT NULL, custom_details TEXT NULL, details TEXT NULL);
      INSERT INTO event_items (id, api_key, event_type, incident_key, summary, created_at)
        VALUES ('1', 'K', 'ALERT', 'lane', 'old', 'then')`);
  }
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  assert.equal(queue.claim(() => false)?.event.integrationKey, "K");
});

Deno.test("openDatabase() takes over a file from when the lanes were an index", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  {
    using earlier = createEarlierDatabase(path);
    const rows = [["1", "lane", "0"], ["2", "lane", "1"], ["3", "other", "0"], ["4", "lane", "1"]] as const;
    for (const [id, alert_key, behind] of rows) {
      insertRustEvent(earlier, { id, alert_key, behind, summary: id });
    }
    earlier.exec("UPDATE ledger SET accepted = 4; UPDATE event_items SET next_attempt_at = 7 WHERE id = '3'");
  }
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  const order: string[] = [];
  for (let head = queue.claim(() => false); head !== null; head = queue.claim(() => false)) {
    order.push(head.event.summary);
    await queue.settle(head, { kind: "delivered" });
  }
  assert.deepEqual(order, ["3", "1", "2", "4"]);
  assert.deepEqual({ ...queue.ledger }, { accepted: 4, delivered: 4, purged: 0 });
});

Deno.test("a file we have used still takes and gives the Rust agent's rows by its own statements", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  const clock = new FakeClock();
  {
    await using queue = SqliteQueue.open(path, ROOMY, clock);
    const { anEvent } = await import("../support/events.ts");
    await queue.enqueue(anEvent({ alertKey: "lane", summary: "ours", labels: { a: "b" } }), null);
    await queue.enqueue(anEvent({ alertKey: "lane", summary: "ours, behind" }), null);
  }
  {
    using rust = new DatabaseSync(path);
    const rows = rust.prepare(
      `SELECT id, integration_key, event_type, alert_key, summary, created_at, priority, images, links,
         custom_details, details, event_api_path FROM event_items ORDER BY inserted_at ASC LIMIT 50`,
    ).all();
    assert.deepEqual(rows.map((row) => row.summary), ["ours", "ours, behind"]);
    const markers = rust.prepare("SELECT key FROM ilagent WHERE key LIKE 'mig_%' ORDER BY key").all();
    assert.deepEqual(markers.map((row) => row.key), ["mig_1", "mig_2", "mig_3", "mig_4", "mig_5"]);
    insertRustEvent(rust, { id: "r", alert_key: "lane", summary: "theirs" });
    rust.prepare("DELETE FROM event_items WHERE summary = 'ours'").run();
    rust.prepare("INSERT INTO mqtt_queue (id, topic, payload) VALUES ('m', 't', 'p')").run();
  }
  await using queue = SqliteQueue.open(path, ROOMY, clock);
  const head = queue.claim(() => false);
  assert.equal(head?.event.summary, "ours, behind");
  assert.ok(head);
  await queue.settle(head, { kind: "delivered" });
  assert.equal(queue.claim(() => false)?.event.summary, "theirs");
});
