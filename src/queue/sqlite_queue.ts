/** The queue on SQLite: rows are the truth, memory holds only what is claimed and a short buffer of what comes next. */

import { v7 as newId } from "uuid";
import type { DatabaseSync } from "node:sqlite";
import type { AlertEvent } from "../domain/event.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import { RETRY_AFTER_MAX_MS } from "../domain/retry_policy.ts";
import type { Clock } from "../runtime/clock.ts";
import { type DurableDatabase, openDatabase } from "./database.ts";
import { EventRows } from "./event_rows.ts";
import { GroupCommit } from "./group_commit.ts";
import { KeptValues } from "./kept_values.ts";
import { MessageRows } from "./message_rows.ts";
import { type Counted, MessageStore } from "./message_store.ts";
import { diskFailure, FILE_GONE } from "./sqlite_errors.ts";
import { type EventQueue, type QueuedEvent, QueueUnavailable, type Settlement } from "./queue.ts";

/** Claimable events kept in memory, with their payload of at most 16 kB each. */
const BUFFERED_EVENTS_MAX = 512;
/** Due retries, and new events, read for one integration key before the next key has its turn. */
const ROWS_PER_KEY = 128;
/** After which a sender may try again when the disk fails. */
const DISK_RETRY_SECONDS = 5;
/** And when a bound is reached: it takes a while until enough has left. */
const FULL_RETRY_SECONDS = 10;
/** More keys than this wait for their turn in the rotation of probes. */
const ARRIVED_KEYS_MAX = 1_000;

/** Beyond these nothing more is accepted; nothing is ever evicted. */
export interface QueueLimits {
  eventsMax: number;
  /** Of the pages in use, indexes included. */
  bytesMax: number;
  deadLettersMax: number;
}

/** What one transaction changes. */
type Delta = Required<Counted>;

const NO_DELTA: Readonly<Delta> = { accepted: 0, delivered: 0, purged: 0, queued: 0, dead: 0 };
const DELTA_NAMES = ["accepted", "delivered", "purged", "queued", "dead"] as const;

export class SqliteQueue implements EventQueue, AsyncDisposable {
  readonly #database: DurableDatabase;
  readonly #rows: EventRows;
  readonly #commits: GroupCommit;
  readonly #clock: Clock;
  /** Ids of heads that must not be read from the file: buffered, being sent, or written but not yet durable. */
  readonly #taken = new Set<string>();
  #buffer: QueuedEvent[] = [];
  /** Whether the file may hold claimable rows that are not in the buffer. */
  #unread = true;
  #lastKey = "";
  /** Integration keys of new heads since the last probe. */
  readonly #arrivedKeys = new Set<string>();
  #nextDue: number | null = null;
  #ledger: Ledger;
  #counts: RowCounts;
  #delta: Delta = { ...NO_DELTA };
  #bytesUsed: number;
  #foreignChanges: number;
  /** Events that wait for their commit. */
  #arriving = 0;
  readonly #limits: QueueLimits;
  /** What the file holds beside events. */
  readonly messages: MessageStore;
  readonly values: KeptValues;
  #onAvailable: () => void = () => {};

  /** Opens and, where needed, migrates `path`. Throws `StartupFailure`. */
  static open(path: string, limits: QueueLimits, clock: Clock): SqliteQueue {
    const adopt = (db: DatabaseSync) => {
      new MessageRows(db).adopt();
      new EventRows(db).adopt(clock.now(), RETRY_AFTER_MAX_MS);
    };
    return new SqliteQueue(openDatabase(path, adopt), limits, clock);
  }

  private constructor(database: DurableDatabase, limits: QueueLimits, clock: Clock) {
    this.#database = database;
    this.#limits = limits;
    this.#clock = clock;
    this.#rows = new EventRows(database.db);
    this.#ledger = this.#rows.ledger();
    this.#counts = this.#rows.counts();
    this.#bytesUsed = this.#rows.bytesUsed();
    this.#foreignChanges = this.#rows.foreignChanges();
    this.#nextDue = this.#rows.nextDueAfter(0);
    this.#commits = new GroupCommit(database.db, () => database.sync(), {
      beforeCommit: () => this.#beforeCommit(),
      written: () => this.#written(),
      // After those who wait for this commit: they acknowledge first.
      durable: () => queueMicrotask(() => this.#onAvailable()),
      afterRollback: () => this.#delta = { ...NO_DELTA },
    });
    this.messages = new MessageStore(database.db, this, clock);
    this.values = new KeptValues(database.db);
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
    const { eventsMax, bytesMax } = this.#limits;
    if (this.#counts.queued + this.#arriving >= eventsMax) {
      return `the queue holds ${eventsMax} events (--queue_max_events)`;
    }
    if (this.#bytesUsed >= bytesMax) {
      return `the queue's file has ${bytesMax} bytes in use (--queue_max_bytes)`;
    }
    return this.fullOfDeadLetters(0);
  }

  fullOfDeadLetters(arriving: number): string | null {
    const { deadLettersMax } = this.#limits;
    if (this.#counts.dead + arriving < deadLettersMax) return null;
    return `there are ${deadLettersMax} dead letters (--dead_letter_max)`;
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
      const queued: QueuedEvent = { id: newId(), event, apiPath, attempts: 0, acceptedAt: this.#clock.now() };
      let isHead = false;
      this.#arriving++;
      this.#commits.add({
        apply: () => {
          isHead = this.#rows.insert(queued);
          if (isHead) this.#taken.add(queued.id);
          this.#delta.accepted++;
          this.#delta.queued++;
        },
        committed: () => {
          this.#arriving--;
          resolve(queued);
          if (isHead) this.#offer(queued);
        },
        failed: (error) => {
          this.#arriving--;
          this.#taken.delete(queued.id);
          reject(new QueueUnavailable(diskFailure(error), DISK_RETRY_SECONDS, { cause: error }));
          return false;
        },
      });
    });
  }

  /** Whatever else is written to the file, in one transaction with the ledger and with events that come of it. */
  change(apply: (enqueue: (event: QueuedEvent) => void) => Counted): Promise<void> {
    return new Promise((resolve, reject) => {
      let heads: QueuedEvent[] = [];
      const forget = () => heads.forEach(({ id }) => this.#taken.delete(id));
      this.#commits.add({
        apply: () => {
          forget();
          heads = [];
          const counted = apply((event) => {
            if (!this.#rows.insert(event)) return;
            this.#taken.add(event.id);
            heads.push(event);
          });
          for (const name of DELTA_NAMES) this.#delta[name] += counted[name] ?? 0;
        },
        committed: () => {
          resolve();
          for (const head of heads) this.#offer(head);
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
    for (;;) {
      const next = this.#buffer.shift();
      if (next === undefined) {
        if (!this.#unread) return null;
        this.#refill(isPaused);
        if (this.#buffer.length === 0) return null;
      } else if (isPaused(next.event.integrationKey)) {
        // Its row stays; whoever ends the pause calls rescan().
        this.#taken.delete(next.id);
      } else {
        return next;
      }
    }
  }

  claimProbe(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    this.#returnBuffer();
    this.#arrivedKeys.clear();
    const probe = this.#rows.probe((key) => !isPaused(key) && !failedKeys.has(key), this.#taken) ??
      this.#rows.rotate((key) => !isPaused(key), this.#taken);
    if (probe !== null) this.#taken.add(probe.id);
    return probe;
  }

  claimUntried(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    for (const key of this.#arrivedKeys) {
      this.#arrivedKeys.delete(key);
      if (failedKeys.has(key) || isPaused(key)) continue;
      this.#returnBuffer();
      const head = this.#rows.headOf(key, this.#taken);
      if (head === null) continue;
      this.#taken.add(head.id);
      return head;
    }
    return null;
  }

  settle(claimed: QueuedEvent, settlement: Settlement): Promise<void> {
    return new Promise((resolve) => {
      let next: QueuedEvent | null = null;
      this.#commits.add({
        apply: () => {
          if (next !== null) this.#taken.delete(next.id);
          next = this.#apply(claimed, settlement);
          if (next !== null) this.#taken.add(next.id);
        },
        committed: () => {
          if (settlement.kind === "waiting") this.#expect(settlement.nextAttemptAt);
          this.#taken.delete(claimed.id);
          resolve();
          if (next !== null) this.#offer(next);
        },
        failed: () => {
          if (next !== null) this.#taken.delete(next.id);
          return true;
        },
      });
    });
  }

  release(claimed: QueuedEvent): void {
    this.#taken.delete(claimed.id);
    this.#unread = true;
  }

  nextDueAt(): number | null {
    return this.#nextDue;
  }

  /** Reads the file again at the next claim: a retry is due, a pause is over, or another process changed rows. */
  rescan(): void {
    this.#unread = true;
    this.#nextDue = this.#rows.nextDueAfter(this.#clock.now());
  }

  /** Finds out whether another process, such as `ilagent queue`, has changed the file; cheap enough for every second. */
  noticeChanges(): boolean {
    const version = this.#rows.foreignChanges();
    if (version === this.#foreignChanges) return false;
    this.#foreignChanges = version;
    this.#ledger = this.#rows.ledger();
    this.#counts = this.#rows.counts();
    this.#returnBuffer();
    this.rescan();
    this.#onAvailable();
    return true;
  }

  /** The wall clock was moved by this much: retries move with it, because what they wait for is a span of time. */
  postpone(byMs: number): void {
    this.#commits.add({
      apply: () => this.#rows.postpone(byMs),
      committed: () => this.rescan(),
      failed: () => true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commits[Symbol.asyncDispose]();
    this.#database[Symbol.dispose]();
  }

  /** The new head of the lane. An event that an operator has removed meanwhile is settled already, and counted. */
  #apply(claimed: QueuedEvent, settlement: Settlement): QueuedEvent | null {
    switch (settlement.kind) {
      case "delivered": {
        if (!this.#rows.remove(claimed.id)) return null;
        this.#delta.delivered++;
        this.#delta.queued--;
        return this.#rows.advance(claimed.event);
      }
      case "waiting":
        this.#rows.wait(claimed.id, settlement);
        return null;
      case "dead": {
        if (!this.#rows.bury(claimed, settlement, this.#clock.now())) return null;
        this.#delta.queued--;
        this.#delta.dead++;
        return this.#rows.advance(claimed.event);
      }
    }
  }

  #expect(retryAt: number): void {
    this.#nextDue = Math.min(this.#nextDue ?? Infinity, retryAt);
  }

  #beforeCommit(): void {
    // What is queued already goes on leaving, but nothing new is promised.
    if (this.#delta.accepted > 0 && !this.#database.isInPlace()) throw new Error(FILE_GONE);
    this.#rows.addToLedger(this.#delta.accepted, this.#delta.delivered, this.#delta.purged);
  }

  #written(): void {
    this.#ledger.accepted += this.#delta.accepted;
    this.#ledger.delivered += this.#delta.delivered;
    this.#ledger.purged += this.#delta.purged;
    this.#counts.queued += this.#delta.queued;
    this.#counts.dead += this.#delta.dead;
    this.#delta = { ...NO_DELTA };
    this.#bytesUsed = this.#rows.bytesUsed();
  }

  /** Buffers a new head, unless older ones wait in the file: those go first. */
  #offer(head: QueuedEvent): void {
    if (this.#arrivedKeys.size < ARRIVED_KEYS_MAX) this.#arrivedKeys.add(head.event.integrationKey);
    if (this.#unread || this.#buffer.length >= BUFFERED_EVENTS_MAX) {
      this.#unread = true;
      this.#taken.delete(head.id);
    } else {
      this.#buffer.push(head);
    }
  }

  #returnBuffer(): void {
    for (const event of this.#buffer) this.#taken.delete(event.id);
    this.#buffer = [];
    this.#unread = true;
  }

  /** Takes turns between integration keys, so that a flood on one does not hold back the others. */
  #refill(isPaused: (integrationKey: string) => boolean): void {
    const now = this.#clock.now();
    const firstKey = this.#rows.keyAfter(this.#lastKey) ?? this.#rows.keyAfter("");
    let key = firstKey;
    let more = false;
    while (key !== null) {
      if (!isPaused(key)) {
        const { heads, isAll } = this.#rows.claimable(key, now, this.#taken, ROWS_PER_KEY);
        more ||= !isAll;
        for (const head of heads) this.#taken.add(head.id);
        this.#buffer.push(...heads);
      }
      this.#lastKey = key;
      key = this.#rows.keyAfter(key) ?? this.#rows.keyAfter("");
      if (key === firstKey) break;
      if (this.#buffer.length >= ROWS_PER_KEY) {
        more = true;
        break;
      }
    }
    this.#unread = more;
  }
}
