/** The queue on SQLite: rows are the truth, memory holds what tells which of them are heads. */

import type { AlertEvent } from "../domain/event.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import { RETRY_AFTER_MAX_MS } from "../domain/retry_policy.ts";
import type { Clock } from "../runtime/clock.ts";
import { adopt } from "./adoption.ts";
import { Bounds, type NearestBound, type QueueLimits } from "./bounds.ts";
import { Changes } from "./changes.ts";
import { type DurableDatabase, openDatabase } from "./database.ts";
import type { StoredEvent } from "./event_columns.ts";
import { EventIds } from "./event_id.ts";
import { FileFigures } from "./file_figures.ts";
import { GroupCommit } from "./group_commit.ts";
import { HeadRows } from "./head_rows.ts";
import { Heads } from "./heads.ts";
import { KeptValues } from "./kept_values.ts";
import { MessageRows } from "./message_rows.ts";
import { type Counted, MessageStore } from "./message_store.ts";
import { diskFailure, FILE_GONE } from "./sqlite_errors.ts";
import { type EventQueue, type QueuedEvent, QueueUnavailable, type Settlement } from "./queue.ts";

/** After which a sender may try again when the disk fails. */
const DISK_RETRY_SECONDS = 5;
/** And when a bound is reached: it takes a while until enough has left. */
const FULL_RETRY_SECONDS = 10;
/** In a storm of larger groups, the file's place is looked up once in this time: two system calls for each group. */
const STORM_GROUP = 8;
const PLACE_CHECK_MS = 5;

export class SqliteQueue implements EventQueue, AsyncDisposable {
  readonly #database: DurableDatabase;
  readonly #file: FileFigures;
  readonly #heads: Heads;
  readonly #changes: Changes;
  readonly #commits: GroupCommit;
  readonly #clock: Clock;
  readonly #ids = new EventIds();
  #foreignChanges: number;
  /** The rows are to be read anew, and that has not begun. */
  #isReadingDue = false;
  /** By `performance.now()`. */
  #placeCheckedAt = -Infinity;
  /** Events that wait for their commit. */
  #arriving = 0;
  readonly #bounds: Bounds;
  /** What the file holds beside events. */
  readonly messages: MessageStore;
  readonly values: KeptValues;
  #onAvailable: () => void = () => {};

  /** Opens and, where needed, migrates `path`. Throws `StartupFailure`. */
  static open(path: string, limits: QueueLimits, clock: Clock): SqliteQueue {
    const database = openDatabase(path, (db) => {
      new MessageRows(db).adopt();
      adopt(db, clock.now(), RETRY_AFTER_MAX_MS);
      const heads = new Heads(new HeadRows(db), clock);
      const changes = new Changes(db);
      changes.readAnew((key, rowid) => heads.add(key, rowid));
      return { heads, changes };
    });
    return new SqliteQueue(database, limits, clock);
  }

  private constructor(
    database: DurableDatabase<{ heads: Heads; changes: Changes }>,
    limits: QueueLimits,
    clock: Clock,
  ) {
    this.#database = database;
    this.#heads = database.adopted.heads;
    this.#changes = database.adopted.changes;
    this.#clock = clock;
    this.#file = new FileFigures(database.db);
    this.#bounds = new Bounds(limits, () => this.#file.bytesUsed());
    this.#foreignChanges = this.#file.foreignChanges();
    this.#heads.rescan();
    this.#commits = new GroupCommit(database.db, () => database.sync(), {
      beforeCommit: () => this.#beforeCommit(),
      written: () => this.#bounds.wrote(this.#changes.committed()),
      // After those who wait for this commit: they acknowledge first.
      durable: () => queueMicrotask(() => this.#onAvailable()),
      afterRollback: () => this.#changes.rolledBack(),
    });
    this.messages = new MessageStore(database.db, this, clock);
    this.values = new KeptValues(database.db);
  }

  get ledger(): Readonly<Ledger> {
    return this.#changes.ledger;
  }

  get counts(): Readonly<RowCounts> {
    return this.#changes.counts;
  }

  /** Why the disk refuses writes, as one clause; null while it takes them. */
  get failure(): string | null {
    if (!this.#database.isInPlace()) return FILE_GONE;
    return this.#commits.failure === null ? null : diskFailure(this.#commits.failure);
  }

  /** Which bound is reached, as one clause; null while there is room. */
  get full(): string | null {
    const { queued, dead } = this.#changes.counts;
    return this.#bounds.reached({ queued: queued + this.#arriving, dead });
  }

  fullOfDeadLetters(arriving: number): string | null {
    return this.#bounds.reachedByDead(this.#changes.counts.dead + arriving);
  }

  get nearestBound(): NearestBound {
    return this.#bounds.nearest(this.#changes.counts);
  }

  /** When the oldest queued event was accepted, in ms since the epoch; null where none is queued. */
  oldestAcceptedAt(): number | null {
    return this.#file.oldestAcceptedAt();
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
          const head = this.#changes.insert(queued);
          isHead = head !== null;
          if (head !== null) this.#heads.take(head);
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

  /** Whatever else is written to the file, in one transaction with the ledger and with events that come of it. */
  change(apply: (enqueue: (event: QueuedEvent) => void) => Counted): Promise<void> {
    return new Promise((resolve, reject) => {
      let heads: StoredEvent[] = [];
      const forget = () => heads.forEach(({ queued }) => this.#heads.forget(queued.id));
      this.#commits.add({
        apply: () => {
          forget();
          heads = [];
          const counted = apply((event) => {
            const head = this.#changes.place(event);
            if (head === null) return;
            this.#heads.take(head);
            heads.push(head);
          });
          this.#changes.count(counted);
        },
        committed: () => {
          resolve();
          for (const { queued } of heads) this.#heads.offer(queued);
        },
        failed: (error) => {
          forget();
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
          next = this.#changes.settle(claimed, settlement, this.#clock.now());
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

  /**
   * Finds out whether another process, such as `ilagent queue`, has changed the file, or two lanes were taken for one;
   * cheap enough for every second.
   */
  noticeChanges(): boolean {
    const version = this.#file.foreignChanges();
    if (version === this.#foreignChanges && !this.#file.isOldestBehind()) return false;
    this.#foreignChanges = version;
    this.#changes.recount();
    // One that has begun may be past what has changed; one that is still to come finds this too.
    if (this.#isReadingDue) return true;
    this.#isReadingDue = true;
    this.#commits.add({
      apply: () => {
        this.#isReadingDue = false;
        this.#readAnew();
      },
      committed: () => this.#heads.rescan(),
      failed: () => this.#isReadingDue = true,
    });
    return true;
  }

  /** The wall clock was moved by this much: retries move with it, because what they wait for is a span of time. */
  postpone(byMs: number): void {
    this.#commits.add({
      apply: () => this.#changes.postpone(byMs),
      committed: () => this.#heads.rescan(),
      failed: () => true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commits[Symbol.asyncDispose]();
    this.#database[Symbol.dispose]();
  }

  #readAnew(): void {
    this.#heads.restart();
    this.#changes.readAnew((key, rowid) => this.#heads.addAnew(key, rowid));
  }

  #beforeCommit(): void {
    // What is queued already goes on leaving, but nothing new is promised.
    if (this.#changes.accepted > 0) this.#checkPlace();
    this.#changes.writeLedger();
  }

  #checkPlace(): void {
    const now = performance.now();
    if (this.#changes.accepted >= STORM_GROUP && now - this.#placeCheckedAt < PLACE_CHECK_MS) return;
    if (!this.#database.isInPlace()) throw new Error(FILE_GONE);
    this.#placeCheckedAt = now;
  }
}
