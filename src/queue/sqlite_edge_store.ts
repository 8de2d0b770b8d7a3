/**
 * The edge connector's store on SQLite.
 *
 * The cursor is acknowledged to nobody, so its commits need no fsync before the next delivery: from the commit on it
 * survives a kill, and the fsync that follows beside the deliveries makes it survive a loss of power. Dead letters are
 * what ilert will not give again: they are fsynced before anything goes on.
 */

import { factsOf } from "../domain/edge_item.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import type { DeadItem, EdgeStore, ReturnedItem, ReturnedSettlement } from "../edge/edge_store.ts";
import type { Clock } from "../runtime/clock.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { type DurableDatabase, openDatabase } from "./database.ts";
import { EdgeRows } from "./edge_rows.ts";
import { countRows, readLedger } from "./file_figures.ts";
import { GroupCommit } from "./group_commit.ts";
import { KeptValues } from "./kept_values.ts";
import { LogSync } from "./log_sync.ts";
import { diskFailure, FILE_GONE } from "./sqlite_errors.ts";

/**
 * Between two writes of the cursor while deliveries follow each other faster than that: each would cost them as much as
 * a delivery. A kill repeats what was delivered in this time.
 */
const CURSOR_PAUSE_MS = 25;

/** Between two fsyncs of it, which take the processor from the deliveries. A loss of power repeats this time. */
const CURSOR_SYNC_PAUSE_MS = 100;

/** Digits of the connector key's SHA-256 that name its cursor and letters, so that one file serves several edge connections. */
const CONNECTION_DIGITS = 16;

/** Of the SHA-256 of connection and payload, for the second letter with one item id. */
const SPARE_ID_DIGITS = 12;

export interface EdgeStoreConfig {
  file: string;
  connectorKey: string;
  deadLettersMax: number;
}

export class SqliteEdgeStore implements EdgeStore, AsyncDisposable {
  readonly values: KeptValues;
  readonly #database: DurableDatabase;
  readonly #rows: EdgeRows;
  readonly #commits: GroupCommit;
  readonly #log: LogSync;
  readonly #clock: Clock;
  readonly #connection: string;
  readonly #cursorKey: string;
  readonly #deadLettersMax: number;
  /** Where the cursor stands on disk, where it is to stand, and where the transaction under way leaves it. */
  #kept: string;
  #wanted: string;
  #written: string;
  #isCursorBusy = false;
  /** Writes the next move at once; null where none is held back. */
  #hasten: (() => void) | null = null;
  #cursorPausedUntil = 0;
  #syncPausedUntil = 0;
  /** Null where no fsync is to come. */
  #cancelSync: (() => void) | null = null;
  #onKept: (() => void)[] = [];
  /** Settlements that are not durable yet. */
  readonly #settling = new Set<Promise<void>>();
  #mayHaveReturned = true;
  #foreignChanges: number;
  #ledger: Ledger;
  #counts: RowCounts;
  #onReturned: () => void = () => {};

  /** Opens and, where needed, migrates the file. Throws `StartupFailure`. */
  static async open(config: EdgeStoreConfig, clock: Clock): Promise<SqliteEdgeStore> {
    const connection = (await sha256(config.connectorKey)).slice(0, CONNECTION_DIGITS);
    const database = openDatabase(config.file, () => {});
    try {
      return new SqliteEdgeStore(database, connection, config, clock);
    } catch (error) {
      database[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(database: DurableDatabase, connection: string, config: EdgeStoreConfig, clock: Clock) {
    const cursorKey = `edge_cursor:${connection}`;
    this.#database = database;
    this.values = new KeptValues(database.db);
    this.#rows = new EdgeRows(database.db, connection);
    this.#clock = clock;
    this.#connection = connection;
    this.#cursorKey = cursorKey;
    this.#deadLettersMax = config.deadLettersMax;
    const cursor = this.#rows.cursor(cursorKey) ?? "0";
    if (!/^\d+$/.test(cursor)) {
      const advice = "restore the file, or delete the row to begin anew";
      throw new StartupFailure(
        `${config.file} has '${cursor}' for the cursor ${cursorKey}, which is no id; ${advice}`,
        1,
      );
    }
    this.#kept = this.#wanted = this.#written = cursor;
    this.#foreignChanges = this.#rows.foreignChanges();
    this.#ledger = readLedger(database.db);
    this.#counts = countRows(database.db);
    this.#log = new LogSync(() => database.sync());
    this.#commits = new GroupCommit(database.db, () => Promise.resolve(), {
      // For a group without writes, which finds out whether the disk is there again.
      beforeCommit: () => this.#rows.addToLedger(0, 0),
      written: () => {},
      durable: () => {},
      afterRollback: () => {},
    });
  }

  get cursor(): string {
    return this.#kept;
  }

  get ledger(): Readonly<Ledger> {
    return this.#ledger;
  }

  get counts(): Readonly<RowCounts> {
    return this.#counts;
  }

  /** Why the disk refuses writes, as one clause; null while it takes them. */
  get failure(): string | null {
    if (!this.#database.isInPlace()) return FILE_GONE;
    return this.#commits.failure === null ? null : diskFailure(this.#commits.failure);
  }

  get full(): string | null {
    if (this.#counts.dead < this.#deadLettersMax) return null;
    return `there are ${this.#deadLettersMax} dead letters (--dead_letter_max)`;
  }

  /** Queued for others than this connection: events and messages of the relay, returned items of other connections. */
  bystanders(): { events: number; items: number } {
    return this.#rows.bystanders();
  }

  /** Calls back when there may be returned items. */
  onReturned(callback: () => void): void {
    this.#onReturned = callback;
  }

  moveCursor(id: string): void {
    this.#wanted = id;
    if (!this.#isCursorBusy && id !== this.#kept) this.#keepCursor();
  }

  hastenCursor(): void {
    this.#hasten?.();
  }

  async cursorKept(): Promise<void> {
    this.hastenCursor();
    while (this.#isCursorBusy) await new Promise<void>((resolve) => this.#onKept.push(resolve));
  }

  /** Whether the file has all that was asked for, now or within `timeoutMs`. */
  async written(timeoutMs: number): Promise<boolean> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(timeoutMs, resolve);
    const all = Promise.all([this.cursorKept(), ...this.#settling]);
    const isWritten = await Promise.race([all.then(() => true), late.then(() => false)]);
    cancel();
    return isWritten;
  }

  bury(dead: DeadItem, cursor: string | null): Promise<void> {
    return this.#watched(this.#bury(dead, cursor));
  }

  firstReturned(): ReturnedItem | null {
    if (!this.#mayHaveReturned) return null;
    const first = this.#rows.firstReturned();
    this.#mayHaveReturned = first !== null;
    return first;
  }

  settleReturned(returned: ReturnedItem, settlement: ReturnedSettlement): Promise<void> {
    return this.#watched(this.#settleReturned(returned, settlement));
  }

  /** Finds out whether another process, such as `ilagent deadletter`, has changed the file; cheap enough for every second. */
  noticeChanges(): void {
    const version = this.#rows.foreignChanges();
    if (version === this.#foreignChanges) return;
    this.#foreignChanges = version;
    this.#ledger = readLedger(this.#database.db);
    this.#counts = countRows(this.#database.db);
    this.#mayHaveReturned = true;
    this.#onReturned();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hasten?.();
    await this.#commits[Symbol.asyncDispose]();
    this.#cancelSync?.();
    await this.#log.request();
    this.#database[Symbol.dispose]();
  }

  async #bury(dead: DeadItem, cursor: string | null): Promise<void> {
    const digest = (await sha256(`${this.#connection} ${dead.payload}`)).slice(0, SPARE_ID_DIGITS);
    // A move of the cursor that is still to be written would take it back.
    await this.cursorKept();
    let replaced = { replacedDead: 0, replacedReturned: 0 };
    await this.#write(() => {
      if (!this.#database.isInPlace()) throw new Error(FILE_GONE);
      replaced = this.#rows.insertDead(dead, `${dead.id}-${digest}`, this.#clock.now());
      this.#rows.addToLedger(1 - replaced.replacedDead - replaced.replacedReturned, 0);
      if (cursor !== null) this.#rows.keepCursor(this.#cursorKey, cursor, this.#clock.now());
    });
    if (cursor !== null) this.#kept = this.#wanted = this.#written = cursor;
    const { replacedDead, replacedReturned } = replaced;
    this.#ledger.accepted += 1 - replacedDead - replacedReturned;
    this.#counts.dead += 1 - replacedDead;
    this.#counts.queued -= replacedReturned;
  }

  async #settleReturned(returned: ReturnedItem, settlement: ReturnedSettlement): Promise<void> {
    const { letterId } = returned;
    let left = 0;
    await this.#write(() => {
      switch (settlement.kind) {
        case "delivered":
          left = this.#rows.removeReturned(letterId);
          this.#rows.addToLedger(0, left);
          break;
        case "waiting":
          this.#rows.waitReturned(letterId, settlement.lastError);
          break;
        case "dead": {
          const { status, reason, responseBody } = settlement;
          const { alertId } = factsOf(returned.item);
          const dead = { alertId, status, reason, responseBody };
          left = this.#rows.buryReturned(letterId, dead, this.#clock.now());
        }
      }
    });
    this.#counts.queued -= left;
    if (settlement.kind === "delivered") this.#ledger.delivered += left;
    if (settlement.kind === "dead") this.#counts.dead += left;
  }

  async #watched(settling: Promise<void>): Promise<void> {
    this.#settling.add(settling);
    await settling;
    this.#settling.delete(settling);
  }

  /** One write at a time: what moves meanwhile, or within the pause after it, is in the next one. */
  #keepCursor(): void {
    this.#isCursorBusy = true;
    const write = () => {
      this.#hasten = null;
      this.#commits.add({
        apply: () => {
          this.#written = this.#wanted;
          this.#rows.keepCursor(this.#cursorKey, this.#written, this.#clock.now());
        },
        committed: () => this.#cursorWritten(),
        failed: () => true,
      });
    };
    const pauseMs = this.#cursorPausedUntil - this.#clock.monotonic();
    if (pauseMs <= 0 || this.#onKept.length > 0) return write();
    const cancel = this.#clock.after(pauseMs, write);
    this.#hasten = () => {
      cancel();
      write();
    };
  }

  #cursorWritten(): void {
    this.#kept = this.#written;
    this.#cursorPausedUntil = this.#clock.monotonic() + CURSOR_PAUSE_MS;
    this.#syncCursor();
    if (this.#wanted !== this.#kept) return this.#keepCursor();
    this.#isCursorBusy = false;
    for (const resolve of this.#onKept.splice(0)) resolve();
  }

  #syncCursor(): void {
    if (this.#cancelSync !== null) return;
    const pauseMs = Math.max(0, this.#syncPausedUntil - this.#clock.monotonic());
    const sync = () => {
      this.#cancelSync = null;
      this.#syncPausedUntil = this.#clock.monotonic() + CURSOR_SYNC_PAUSE_MS;
      void this.#log.request();
    };
    if (pauseMs === 0) sync();
    else this.#cancelSync = this.#clock.after(pauseMs, sync);
  }

  /** Durable when it resolves; tried again while the disk fails. */
  async #write(apply: () => void): Promise<void> {
    await new Promise<void>((resolve) =>
      this.#commits.add({ apply, committed: resolve, failed: () => true })
    );
    await this.#log.request();
  }
}

async function sha256(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
