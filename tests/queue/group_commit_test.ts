import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { GroupCommit, type Write } from "../../src/queue/group_commit.ts";
import { diskFailure } from "../../src/queue/sqlite_errors.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

interface Disk extends AsyncDisposable {
  db: DatabaseSync;
  commits: GroupCommit;
  /** What happened, in order. */
  story: string[];
  /** Lets the fsync under way end. */
  finishSync(): void;
}

function disk(): Disk {
  const db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE t (name TEXT UNIQUE)");
  const story: string[] = [];
  let finish = () => {};
  const sync = () => {
    story.push("sync");
    return new Promise<void>((resolve) => finish = resolve);
  };
  const commits = new GroupCommit(db, sync, {
    beforeCommit: () => story.push("commit"),
    written: () => {},
    durable: () => story.push("durable"),
    afterRollback: () => story.push("rollback"),
  });
  return {
    db,
    commits,
    story,
    finishSync: () => finish(),
    async [Symbol.asyncDispose]() {
      const closing = commits[Symbol.asyncDispose]();
      let isClosed = false;
      void closing.then(() => isClosed = true);
      await until(() => {
        finish();
        return isClosed;
      }, "it is closed");
      db.close();
    },
  };
}

function insert({ db, story }: Disk, name: string): Write {
  return {
    apply: () => void db.prepare("INSERT INTO t VALUES (?)").run(name),
    committed: () => story.push(`ack ${name}`),
    failed: () => {
      story.push(`refuse ${name}`);
      return false;
    },
  };
}

Deno.test("GroupCommit acknowledges nothing before the fsync has ended", async () => {
  await using all = disk();
  all.commits.add(insert(all, "a"));
  await until(() => all.story.includes("sync"), "the fsync is under way");
  assert.deepEqual(all.story, ["commit", "sync"]);
  all.finishSync();
  await until(() => all.story.includes("durable"), "it is durable");
  assert.deepEqual(all.story, ["commit", "sync", "ack a", "durable"]);
});

Deno.test("GroupCommit makes one group of what arrives in one turn, and the next, which goes to the disk before the acknowledgements, of what arrives during the fsync", async () => {
  await using all = disk();
  all.commits.add(insert(all, "a"));
  all.commits.add(insert(all, "b"));
  await until(() => all.story.includes("sync"), "the fsync is under way");
  all.commits.add(insert(all, "c"));
  all.commits.add(insert(all, "d"));
  all.finishSync();
  await until(
    () => all.story.filter((what) => what === "sync").length === 2,
    "the second fsync is under way",
  );
  all.finishSync();
  await until(() => all.story.includes("ack d"), "all are acknowledged");
  assert.deepEqual(all.story, [
    ...["commit", "sync"],
    ...["commit", "sync", "ack a", "ack b", "durable"],
    ...["ack c", "ack d", "durable"],
  ]);
});

Deno.test("GroupCommit tries the writes of a failed group one by one and refuses only the guilty", async () => {
  await using all = disk();
  all.db.exec("INSERT INTO t VALUES ('twice')");
  for (const name of ["a", "twice", "b"]) all.commits.add(insert(all, name));
  await until(() => {
    all.finishSync();
    return all.story.includes("ack b");
  }, "the last is acknowledged");
  assert.deepEqual(all.story.filter((what) => /^(ack|refuse) /.test(what)).sort(), [
    "ack a",
    "ack b",
    "refuse twice",
  ]);
  assert.deepEqual(all.db.prepare("SELECT name FROM t ORDER BY rowid").all().map(({ name }) => name), [
    "twice",
    "a",
    "b",
  ]);
});

Deno.test("GroupCommit tries again what must not be given up, although others of its group were written after it", async () => {
  await using all = disk();
  let failures = 2;
  const stubborn: Write = {
    apply: () => {
      if (failures-- > 0) throw new Error("no space");
    },
    committed: () => all.story.push("ack stubborn"),
    failed: () => true,
  };
  all.commits.add(stubborn);
  all.commits.add(insert(all, "b"));
  await until(() => {
    all.finishSync();
    return all.story.includes("ack b");
  }, "the other is acknowledged");
  assert.equal(all.commits.failure, null);
  await until(() => {
    all.finishSync();
    return all.story.includes("ack stubborn");
  }, "it is written");
});

Deno.test("GroupCommit makes durable what still waits when it is closed", async () => {
  const all = disk();
  all.commits.add(insert(all, "a"));
  await all[Symbol.asyncDispose]();
  assert.ok(all.story.includes("ack a"));
});

Deno.test("GroupCommit keeps its writes together while another process holds the file, and refuses them after 5 s", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db");
  using db = new DatabaseSync(path, { timeout: 10 });
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (name TEXT)");
  const story: string[] = [];
  const observer = { beforeCommit: () => {}, written: () => {}, durable: () => {}, afterRollback: () => {} };
  await using commits = new GroupCommit(db, () => Promise.resolve(), observer);
  const write = (name: string, isKept: boolean): Write => ({
    apply: () => void db.prepare("INSERT INTO t VALUES (?)").run(name),
    committed: () => story.push(`ack ${name}`),
    failed: () => {
      story.push(`refuse ${name}`);
      return isKept;
    },
  });
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  commits.add(write("a", false));
  commits.add(write("b", true));
  await until(() => story.length === 2, "they are refused");
  assert.deepEqual(story, ["refuse a", "refuse b"]);
  assert.notEqual(commits.failure, null);
  other.exec("ROLLBACK");
  await until(() => story.length === 3, "what must not be given up is written");
  assert.equal(story[2], "ack b");
  assert.equal(commits.failure, null);
});

Deno.test("GroupCommit that is closed while another process holds the file refuses what waits", async () => {
  using folder = new TempFolder();
  const path = folder.file("a.db3");
  using db = new DatabaseSync(path, { timeout: 10 });
  db.exec("CREATE TABLE t (name TEXT UNIQUE)");
  const silent = { beforeCommit: () => {}, written: () => {}, durable: () => {}, afterRollback: () => {} };
  const commits = new GroupCommit(db, () => Promise.resolve(), silent);
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  const refused: string[] = [];
  commits.add({
    apply: () => {},
    committed: () => assert.fail("it was written"),
    failed: () => refused.push("a") === 1,
  });
  await commits[Symbol.asyncDispose]();
  assert.deepEqual(refused, ["a"]);
});

Deno.test("GroupCommit on a full database refuses the write that no longer fits, keeps what was durable, and goes on where there is room again", async () => {
  await using all = disk();
  const { db, commits, story } = all;
  const pages = Number(db.prepare("PRAGMA page_count").get()?.page_count);
  db.exec(`PRAGMA max_page_count = ${pages + 2}`);
  const large = "x".repeat(20_000);
  commits.add(insert(all, "fits"));
  await until(() => story.includes("sync"), "it is written");
  all.finishSync();
  await until(() => story.includes("durable"), "it is durable");

  commits.add(insert(all, large));
  await until(() => story.includes(`refuse ${large}`), "there is no room");
  assert.equal(diskFailure(commits.failure), "the disk or the database's size limit is full");
  assert.deepEqual(db.prepare("SELECT name FROM t").all().map(({ name }) => name), ["fits"]);

  db.exec(`PRAGMA max_page_count = ${pages + 100}`);
  story.length = 0;
  commits.add(insert(all, large));
  await until(() => story.includes("sync"), "it is written");
  assert.equal(commits.failure, null);
});
