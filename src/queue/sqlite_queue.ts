/** The queue on SQLite: rows are the truth, memory holds what tells which of them are heads. */

import type { AlertEvent } from "../domain/event.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import { RETRY_AFTER_MAX_MS } from "../domain/retry_policy.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Clock } from "../runtime/clock.ts";
import { adopt, readHeads } from "./adoption.ts";
import { type DurableDatabase, openDatabase } from "./database.ts";
import type { StoredEvent } from "./event_columns.ts";
import { EventIds } from "./event_id.ts";
import { EventRows } from "./event_rows.ts";
import { GroupCommit } from "./group_commit.ts";
import { HeadRows } from "./head_rows.ts";
import { Heads } from "./heads.ts";
import { LiveLanes } from "./live_lanes.ts";
import { isFull } from "./sqlite_errors.ts";
import { type EventQueue, type QueuedEvent, QueueUnavailable, type Settlement } from "./queue.ts";

/** After which a sender may try again when the disk fails. */
const DISK_RETRY_SECONDS = 5;
/** And when a bound is reached: it takes a while until enough has left. */
const FULL_RETRY_SECONDS = 10;
/** A row at its largest, with its index entries. */
const ROW_BYTES_MAX = 32 * 1024;
/** Rows written at most until the size of the file is looked up again. */
const UNMEASURED_ROWS_MAX = 256;
/** In a storm of larger groups, the file's place is looked up once in this time: two system calls for each group. */
const STORM_GROUP = 8;
const PLACE_CHECK_MS = 5;
const FILE_GONE = "the database file was deleted or replaced while the agent uses it";

/** Beyond these nothing more is accepted; nothing is ever evicted. */
export interface QueueLimits {
  eventsMax: number;
  /** Of the pages in use, indexes included. */
  bytesMax: number;
  deadLettersMax: number;
}

/** What one transaction changes. */
interface Delta {
  accepted: number;
  delivered: number;
  queued: number;
  dead: number;
  followers: number;
}

const NO_DELTA: Readonly<Delta> = { accepted: 0, delivered: 0, queued: 0, dead: 0, followers: 0 };

export class SqliteQueue implements EventQueue, AsyncDisposable {
  readonly #database: DurableDatabase;
  readonly #rows: EventRows;
  readonly #heads: Heads;
  readonly #lanes: LiveLanes;
  readonly #commits: GroupCommit;
  readonly #clock: Clock;
  readonly #ids = new EventIds();
  #ledger: Ledger;
  #counts: RowCounts;
  /** Queued events that are not the heads of their lanes. */
  #followers: number;
  #delta: Delta = { ...NO_DELTA };
  #bytesUsed: number;
  #unmeasuredRows = 0;
  #foreignChanges: number;
  /** By `performance.now()`. */
  #placeCheckedAt = -Infinity;
  /** Events that wait for their commit. */
  #arriving = 0;
  readonly #limits: QueueLimits;
  #onAvailable: () => void = () => {};

  /** Opens and, where needed, migrates `path`. Throws `StartupFailure`. */
  static open(path: string, limits: QueueLimits, clock: Clock): SqliteQueue {
    const lanes = new LiveLanes();
    const found: { heads: Heads; followers: number }[] = [];
    const database = openDatabase(path, (db) => {
      adopt(db, clock.now(), RETRY_AFTER_MAX_MS);
      const heads = new Heads(new HeadRows(db), clock);
      const followers = readHeads(db, lanes, (key, rowid) => heads.add(key, rowid));
      found.push({ heads, followers });
    });
    return new SqliteQueue(database, lanes, found[0]!, limits, clock);
  }

  private constructor(
    database: DurableDatabase,
    lanes: LiveLanes,
    { heads, followers }: { heads: Heads; followers: number },
    limits: QueueLimits,
    clock: Clock,
  ) {
    this.#database = database;
    this.#lanes = lanes;
    this.#heads = heads;
    this.#followers = followers;
    this.#limits = limits;
    this.#clock = clock;
    this.#rows = new EventRows(database.db);
    this.#ledger = this.#rows.ledger();
    this.#counts = this.#rows.counts();
    this.#bytesUsed = this.#rows.bytesUsed();
    this.#foreignChanges = this.#rows.foreignChanges();
    this.#heads.rescan();
    this.#commits = new GroupCommit(database.db, () => database.sync(), {
      beforeCommit: () => this.#beforeCommit(),
      written: () => this.#written(),
      // After those who wait for this commit: they acknowledge first.
      durable: () => queueMicrotask(() => this.#onAvailable()),
      afterRollback: () => {
        this.#delta = { ...NO_DELTA };
        this.#lanes.rolledBack();
      },
    });
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

  /** Which bound is reached, as one clause; null while there is room. */
  get full(): string | null {
    const { eventsMax, bytesMax, deadLettersMax } = this.#limits;
    if (this.#counts.queued + this.#arriving >= eventsMax) {
      return `the queue holds ${eventsMax} events (--queue_max_events)`;
    }
    if (this.#bytesUsed >= bytesMax) {
      return `the queue's file has ${bytesMax} bytes in use (--queue_max_bytes)`;
    }
    if (this.#counts.dead >= deadLettersMax) {
      return `there are ${deadLettersMax} dead letters (--dead_letter_max)`;
    }
    return null;
  }

  /** From 0 to 1 and beyond: the nearest bound. */
  get fill(): number {
    const { eventsMax, bytesMax, deadLettersMax } = this.#limits;
    return Math.max(
      this.#counts.queued / eventsMax,
      this.#bytesUsed / bytesMax,
      this.#counts.dead / deadLettersMax,
    );
  }

  /** When the oldest queued event was accepted, in ms since the epoch; null where none is queued. */
  oldestAcceptedAt(): number | null {
    return this.#rows.oldestAcceptedAt();
  }

  /** Calls back whenever an event may have become claimable. */
  onAvailable(callback: () => void): void {
    this.#onAvailable = callback;
  }

  enqueue(event: AlertEvent, apiPath: string | null): Promise<QueuedEvent> {
    return new Promise((resolve, reject) => {
      const { full } = this;
      if (full !== null) return reject(new QueueUnavailable(full, FULL_RETRY_SECONDS));
      const acceptedAt = this.#clock.now();
      const queued: QueuedEvent = { id: this.#ids.next(acceptedAt), event, apiPath, attempts: 0, acceptedAt };
      let isHead = false;
      this.#arriving++;
      this.#commits.add({
        apply: () => {
          isHead = this.#insert(queued);
        },
        committed: () => {
          this.#arriving--;
          resolve(queued);
          if (isHead) this.#heads.offer(queued);
        },
        failed: (error) => {
          this.#arriving--;
          this.#heads.forget(queued.id);
          reject(new QueueUnavailable(diskFailure(error), DISK_RETRY_SECONDS, { cause: error }));
          return false;
        },
      });
    });
  }

  claim(isPaused: (integrationKey: string) => boolean): QueuedEvent | null {
    return this.#heads.claim(isPaused);
  }

  claimProbe(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    return this.#heads.claimProbe(isPaused, failedKeys);
  }

  claimUntried(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    return this.#heads.claimUntried(isPaused, failedKeys);
  }

  settle(claimed: QueuedEvent, settlement: Settlement): Promise<void> {
    return new Promise((resolve) => {
      let next: StoredEvent | null = null;
      const forgetNext = () => {
        if (next !== null) this.#heads.forget(next.queued.id);
      };
      this.#commits.add({
        apply: () => {
          forgetNext();
          next = this.#apply(claimed, settlement);
          if (next !== null) this.#heads.take(next);
        },
        committed: () => {
          if (settlement.kind === "waiting") this.#heads.expect(settlement.nextAttemptAt);
          this.#heads.forget(claimed.id);
          resolve();
          if (next !== null) this.#heads.offer(next.queued);
        },
        failed: () => {
          forgetNext();
          return true;
        },
      });
    });
  }

  release(claimed: QueuedEvent): void {
    this.#heads.release(claimed);
  }

  nextDueAt(): number | null {
    return this.#heads.nextDue;
  }

  /** Looks everywhere again at the next claim: a retry is due, or a pause is over. */
  rescan(): void {
    this.#heads.rescan();
  }

  /** Finds out whether another process, such as `ilagent queue`, has changed the file; cheap enough for every second. */
  noticeChanges(): void {
    const version = this.#rows.foreignChanges();
    if (version === this.#foreignChanges) return;
    this.#foreignChanges = version;
    this.#ledger = this.#rows.ledger();
    this.#counts = this.#rows.counts();
    this.#commits.add({
      apply: () => this.#readAnew(),
      committed: () => this.#heads.rescan(),
      failed: () => true,
    });
  }

  /** The wall clock was moved by this much: retries move with it, because what they wait for is a span of time. */
  postpone(byMs: number): void {
    this.#commits.add({
      apply: () => this.#rows.postpone(byMs),
      committed: () => this.#heads.rescan(),
      failed: () => true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commits[Symbol.asyncDispose]();
    this.#database[Symbol.dispose]();
  }

  /** True where the new row is the head of its lane. */
  #insert(queued: QueuedEvent): boolean {
    const { integrationKey, alertKey } = queued.event;
    const isHead = alertKey === null || this.#lanes.enter(integrationKey, alertKey);
    const rowid = this.#rows.insert(queued, !isHead, queued.acceptedAt);
    this.#delta.accepted++;
    this.#delta.queued++;
    if (isHead) this.#heads.take({ rowid, queued });
    else this.#delta.followers++;
    return isHead;
  }

  /** The new head of the lane. An event that an operator has removed meanwhile is settled already, and counted. */
  #apply(claimed: QueuedEvent, settlement: Settlement): StoredEvent | null {
    switch (settlement.kind) {
      case "delivered": {
        if (!this.#rows.remove(claimed.id)) return null;
        this.#delta.delivered++;
        this.#delta.queued--;
        return this.#advance(claimed.event);
      }
      case "waiting":
        this.#rows.wait(claimed.id, settlement);
        return null;
      case "dead": {
        if (!this.#rows.bury(claimed, settlement, this.#clock.now())) return null;
        this.#delta.queued--;
        this.#delta.dead++;
        return this.#advance(claimed.event);
      }
    }
  }

  #advance({ integrationKey, alertKey }: AlertEvent): StoredEvent | null {
    if (alertKey === null) return null;
    const hasFollowers = this.#followers + this.#delta.followers > 0;
    const next = hasFollowers ? this.#rows.promote(integrationKey, alertKey) : null;
    if (next === null) this.#lanes.leave(integrationKey, alertKey);
    else this.#delta.followers--;
    return next;
  }

  /** Another process may have removed or added any row. */
  #readAnew(): void {
    const taken = this.#heads.restart();
    this.#delta.followers = 0;
    this.#followers = readHeads(this.#database.db, this.#lanes, (key, rowid) => {
      if (!taken.has(rowid)) this.#heads.add(key, rowid);
    });
  }

  #beforeCommit(): void {
    // What is queued already goes on leaving, but nothing new is promised.
    if (this.#delta.accepted > 0) this.#checkPlace();
    this.#rows.addToLedger(this.#delta.accepted, this.#delta.delivered);
  }

  #checkPlace(): void {
    const now = performance.now();
    if (this.#delta.accepted >= STORM_GROUP && now - this.#placeCheckedAt < PLACE_CHECK_MS) return;
    if (!this.#database.isInPlace()) throw new Error(FILE_GONE);
    this.#placeCheckedAt = now;
  }

  #written(): void {
    const { accepted, delivered, queued, dead, followers } = this.#delta;
    this.#ledger.accepted += accepted;
    this.#ledger.delivered += delivered;
    this.#counts.queued += queued;
    this.#counts.dead += dead;
    this.#followers += followers;
    this.#delta = { ...NO_DELTA };
    this.#lanes.committed();
    this.#measure(accepted + delivered);
  }

  /** Looks the size up as often as it takes to stop at the bound. */
  #measure(rows: number): void {
    this.#unmeasuredRows += rows;
    const roomForRows = (this.#limits.bytesMax - this.#bytesUsed) / ROW_BYTES_MAX;
    if (this.#unmeasuredRows < Math.min(UNMEASURED_ROWS_MAX, roomForRows)) return;
    this.#unmeasuredRows = 0;
    this.#bytesUsed = this.#rows.bytesUsed();
  }
}

function diskFailure(error: unknown): string {
  if (error instanceof Error && error.message === FILE_GONE) return FILE_GONE;
  if (isFull(error)) return "the disk or the database's size limit is full";
  return `the database cannot be written: ${failureOf(error)}`;
}
