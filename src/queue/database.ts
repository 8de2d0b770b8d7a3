/** Opening the `-f` file: looked at before it is touched, one agent at a time, refused with one clear line. */

import { DatabaseSync } from "node:sqlite";
import { failureOf } from "../runtime/failure.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { lockPathOf, logPathOf } from "./database_files.ts";
import { isCorrupt } from "./sqlite_errors.ts";
import { migrate, SCHEMA_VERSION, schemaVersion } from "./migrations.ts";

/** A holder that is just ending keeps its lock for a moment, and so does any program it is about to start. */
const LOCK_PATIENCE_MS = 400;
const LOCK_POLL_MS = 20;
/** How long a start and a command wait for another process that holds the file. */
const BUSY_TIMEOUT_MS = 5_000;
/** How long the running agent does: its event loop waits with it. Commands hold the file for milliseconds only. */
const BUSY_TIMEOUT_RUNNING_MS = 50;
/** sqlite.org/fileformat2.html, "WAL File Format"; the last bit tells the byte order of its checksums. */
const LOG_HEADER_BYTES = 32;
const LOG_MAGIC = 0x377f0682;
const SQLITE_HEADER = "SQLite format 3\0";
/** Larger files are not checked page by page at start: that would keep the intake closed for seconds. */
const CHECKED_BYTES_MAX = 64 * 1024 * 1024;

export interface OpenDatabase extends Disposable {
  db: DatabaseSync;
}

export interface DurableDatabase<Adopted = unknown> extends OpenDatabase {
  /** What was found in it. */
  adopted: Adopted;
  /** Resolves when all that was committed before the call will survive a loss of power. */
  sync(): Promise<void>;
  /** False once the file was deleted or another one put in its place: what is written now is gone with this process. */
  isInPlace(): boolean;
}

/**
 * Opens for the daemon: locks, checks, sets WAL, migrates and lets `adopt` look at the rows, in one transaction.
 * Throws `StartupFailure`.
 *
 * With `synchronous = FULL` each COMMIT waits for the fsync of the log, and everything else with it. With NORMAL it
 * does not, and nothing else differs (sqlite.org/pragma.html#pragma_synchronous): that fsync is `sync()`, to be
 * awaited before anything is acknowledged.
 */
export function openDatabase<Adopted>(
  path: string,
  adopt: (db: DatabaseSync) => Adopted,
  held: "lock" | "locked" = "lock",
): DurableDatabase<Adopted> {
  const lock = held === "lock" ? takeLock(path) : null;
  let db: DatabaseSync | undefined;
  try {
    refuseForeignContent(path);
    refuseDamagedLog(path);
    createPrivate(path);
    db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    refuseUnusable(db, path);
    const opened = db;
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    const adopted = inTransaction(db, () => {
      migrate(opened);
      return adopt(opened);
    });
    db.exec(`PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = ${BUSY_TIMEOUT_RUNNING_MS}`);
    // SQLite keeps this very file as long as a connection is open.
    const log = Deno.openSync(logPathOf(path), { write: true });
    const files = [path, logPathOf(path)].map((file) => ({ file, opened: Deno.statSync(file) }));
    return {
      db,
      adopted,
      sync: () => log.syncData(),
      isInPlace: () => files.every(({ file, opened }) => isSameFile(file, opened)),
      [Symbol.dispose]() {
        log.close();
        opened.close();
        lock?.close();
      },
    };
  } catch (error) {
    db?.close();
    lock?.close();
    throw startupFailure(path, error);
  }
}

/** Opens an existing file for short transactions, beside a running agent too. Throws `StartupFailure`. */
export function openForCommand(path: string, mode: "read" | "write"): OpenDatabase {
  let db: DatabaseSync | undefined;
  try {
    refuseMissing(path);
    refuseForeignContent(path);
    db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, readOnly: mode === "read" });
    refuseUnusable(db, path);
    if (schemaVersion(db) < SCHEMA_VERSION) {
      throw new StartupFailure(
        `${path} has not been used by this version of ilagent yet; start the daemon once`,
        2,
      );
    }
    const opened = db;
    return { db, [Symbol.dispose]: () => opened.close() };
  } catch (error) {
    db?.close();
    throw startupFailure(path, error);
  }
}

/**
 * An advisory lock on a file beside the database: the kernel drops it with the process, however that ends. Not on the
 * database itself, because closing any handle of it would drop SQLite's own locks (sqlite.org, "How To Corrupt", 2.2).
 */
export function takeLock(path: string): Deno.FsFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(lockPathOf(path), { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw startupFailure(path, error);
  }
  for (let waitedMs = 0; waitedMs <= LOCK_PATIENCE_MS; waitedMs += LOCK_POLL_MS) {
    if (file.tryLockSync(true)) return file;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
  }
  file.close();
  throw new StartupFailure(
    `${path} is in use by another ilagent; stop that one, or give this one its own file with -f`,
    1,
  );
}

/** The file holds integration keys: SQLite would create it readable for everyone, and its companions follow its mode. */
function createPrivate(path: string): void {
  Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
}

export function refuseMissing(path: string): void {
  try {
    Deno.statSync(path);
  } catch (error) {
    throw new StartupFailure(`cannot read ${path}: ${failureOf(error)}; name the agent's file with -f`, 2, {
      cause: error,
    });
  }
}

export function refuseForeignContent(path: string): void {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const head = new Uint8Array(SQLITE_HEADER.length);
  const read = file.readSync(head);
  file.close();
  if (read === null || new TextDecoder().decode(head.subarray(0, read)) === SQLITE_HEADER) return;
  throw new StartupFailure(`${path} is not an SQLite database; name another file with -f`, 2);
}

/** SQLite passes over a log it cannot read, and with it over the events that were acknowledged last. */
function refuseDamagedLog(path: string): void {
  const head = new Uint8Array(LOG_HEADER_BYTES);
  try {
    using log = Deno.openSync(logPathOf(path), { read: true });
    if ((log.readSync(head) ?? 0) < head.length) return;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  // A loss of power can leave zeros where nothing was acknowledged yet.
  const magic = new DataView(head.buffer).getUint32(0) & ~1;
  if (magic === LOG_MAGIC || head.every((byte) => byte === 0)) return;
  throw new StartupFailure(
    `${
      logPathOf(path)
    } is damaged, and with it the events that were accepted last; restore it, or move it away to go on without them`,
    1,
  );
}

function refuseUnusable(db: DatabaseSync, path: string): void {
  const version = schemaVersion(db);
  if (version > SCHEMA_VERSION) {
    throw new StartupFailure(
      `${path} was written by a newer ilagent (schema ${version}, this one knows ${SCHEMA_VERSION}); use that version or another file with -f`,
      2,
    );
  }
  if (isForeign(db, version)) {
    throw new StartupFailure(`${path} is the database of another program; name another file with -f`, 2);
  }
  const pages = Number(db.prepare("PRAGMA page_count").get()?.page_count);
  const pageSize = Number(db.prepare("PRAGMA page_size").get()?.page_size);
  if (pages * pageSize > CHECKED_BYTES_MAX) return;
  const verdict = verdictOf(db);
  if (verdict !== "ok") throw corrupt(path, verdict);
}

/** SQLite's own check of all pages: `ok`, or what is wrong first. */
export function verdictOf(db: DatabaseSync): string {
  return String(db.prepare("PRAGMA quick_check(1)").get()?.quick_check);
}

/** Tables, but not those of any agent; or our version without our columns. */
function isForeign(db: DatabaseSync, version: number): boolean {
  const has = (sql: string) => db.prepare(`SELECT 1 ${sql} LIMIT 1`).get() !== undefined;
  if (version > 0) return !has("FROM pragma_table_info('event_items') WHERE name = 'behind'");
  return has("FROM sqlite_master WHERE type = 'table'") && !has("FROM sqlite_master WHERE name = 'ilagent'");
}

function isSameFile(path: string, opened: Deno.FileInfo): boolean {
  try {
    const now = Deno.statSync(path);
    return now.ino === opened.ino && now.dev === opened.dev;
  } catch {
    return false;
  }
}

function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function startupFailure(path: string, error: unknown): StartupFailure {
  if (error instanceof StartupFailure) return error;
  if (isCorrupt(error)) return corrupt(path, failureOf(error));
  return new StartupFailure(
    `cannot use the database ${path}: ${failureOf(error)}; name a file in a writable folder with -f`,
    2,
    { cause: error },
  );
}

function corrupt(path: string, detail: string): StartupFailure {
  const cause = detail.replaceAll("\n", " ").replaceAll("*** ", "");
  return new StartupFailure(
    `${path} is corrupt (${cause}); it was left as it is: 'ilagent repair' keeps it aside and saves what can be read`,
    1,
  );
}
