import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { repair } from "../../src/queue/salvage.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { StartupFailure } from "../../src/runtime/startup_failure.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

const EVENTS = 300;

async function filled(path: string): Promise<void> {
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  await Promise.all(
    Array.from(
      { length: EVENTS },
      (_, i) =>
        queue.enqueue(
          anEvent({ summary: `${i}`, details: "x".repeat(500), alertKey: `lane-${i % 10}` }),
          null,
        ),
    ),
  );
}

/** Garbage over a page in the middle of the table itself. */
function damage(path: string): void {
  let page: number;
  {
    using db = new DatabaseSync(path);
    page = Number(db.prepare("SELECT rootpage FROM sqlite_master WHERE name = 'ledger'").get()?.rootpage) +
      12;
  }
  overwritePage(path, page);
}

function overwritePage(path: string, page: number): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync((page - 1) * 4096, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(4096).fill(0xa5));
}

Deno.test("repair() leaves a healthy file as it is", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  await filled(path);
  assert.equal(repair(path, folder.file("aside")).aside, null);
  assert.ok(!(await Array.fromAsync(Deno.readDir(folder.path))).some(({ name }) => name.startsWith("aside")));
});

Deno.test("repair() keeps a corrupt file aside, saves what it can, counts the rest, and the agent goes on in order", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  const aside = folder.file("aside");
  await filled(path);
  damage(path);
  const before = Deno.readFileSync(path);
  assert.throws(() => SqliteQueue.open(path, ROOMY, new FakeClock()), /is corrupt/);
  const { queued, missing } = repair(path, aside);
  assert.deepEqual(Deno.readFileSync(aside), before);
  assert.ok(queued > EVENTS / 2, `${queued} saved`);
  assert.equal(missing, EVENTS - queued);
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  const seen = new Map<string, number>();
  for (let head = queue.claim(() => false); head !== null; head = queue.claim(() => false)) {
    const n = Number(head.event.summary);
    const lane = head.event.alertKey ?? "";
    assert.ok(n > (seen.get(lane) ?? -1));
    seen.set(lane, n);
    await queue.settle(head, { kind: "delivered" });
  }
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
});

Deno.test("repair() refuses a file that an agent uses", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  await using _queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  assert.throws(() => repair(path, folder.file("aside")), (error) => {
    assert.ok(error instanceof StartupFailure);
    assert.match(error.message, /in use by another ilagent/);
    return true;
  });
});

Deno.test("repair() refuses a file that is no database or not there, and moves nothing", () => {
  using folder = new TempFolder();
  const path = folder.file("notes");
  assert.throws(() => repair(path, folder.file("aside")), /cannot read .*notes: no such file/);
  Deno.writeTextFileSync(path, "these are notes, not a database");
  assert.throws(() => repair(path, folder.file("aside")), /is not an SQLite database/);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["notes"]);
});

Deno.test("repair() starts with what it finds where the ledger is unreadable or gone, and cannot say what is missing", async () => {
  for (const isGone of [false, true]) {
    using folder = new TempFolder();
    const path = folder.file("a.db3");
    await filled(path);
    let rootPage: number;
    {
      using db = new DatabaseSync(path);
      if (isGone) db.exec("DELETE FROM ledger");
      rootPage = Number(
        db.prepare("SELECT rootpage FROM sqlite_master WHERE name = 'ledger'").get()?.rootpage,
      );
    }
    if (isGone) damage(path);
    else overwritePage(path, rootPage);
    const { queued, missing } = repair(path, folder.file("aside"));
    assert.ok(queued > EVENTS / 2, `${queued} saved`);
    assert.equal(missing, null);
    await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
    assert.deepEqual({ ...queue.ledger }, { accepted: queued, delivered: 0, purged: 0 });
  }
});

Deno.test("repair() moves the log with the file it belongs to", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  await filled(path);
  damage(path);
  Deno.writeFileSync(`${path}-wal`, new Uint8Array(0));
  repair(path, folder.file("aside"));
  assert.equal(Deno.statSync(folder.file("aside-wal")).size, 0);
});

Deno.test("repair() of a file whose first page is gone begins an empty one", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  await filled(path);
  using file = Deno.openSync(path, { write: true });
  file.seekSync(16, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(200).fill(0xa5));
  assert.deepEqual(repair(path, folder.file("aside")), {
    aside: folder.file("aside"),
    queued: 0,
    dead: 0,
    missing: null,
  });
  await using queue = SqliteQueue.open(path, ROOMY, new FakeClock());
  assert.deepEqual(queue.counts, { queued: 0, dead: 0 });
});

Deno.test("repair() names a place where the file cannot be kept, and leaves it where it is", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  await filled(path);
  damage(path);
  assert.throws(() => repair(path, folder.file("gone/aside")), /cannot move .*a\.db3 to .*gone\/aside/);
  assert.ok(Deno.statSync(path).isFile);
});
