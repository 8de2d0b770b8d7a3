/** Everything that arrives while the disk is busy goes to disk in one transaction: one fsync for all of it. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { isBusy } from "./sqlite_errors.ts";
import { NextTurn } from "../runtime/next_turn.ts";

export interface Write {
  /** Runs inside the transaction; may throw. */
  apply(): void;
  /** Called when it is durable. */
  committed(): void;
  /** Called when it was refused on its own, after the rollback. True keeps it for another attempt. */
  failed(error: unknown): boolean;
}

/** Told about every transaction as a whole. */
export interface CommitObserver {
  /** Inside the transaction, after all its writes; writes something in any case, and may throw. */
  beforeCommit(): void;
  /** The file has the writes; whether they survive a loss of power is not sure yet. */
  written(): void;
  /** After each write's `committed`. */
  durable(): void;
  /** The writes will be tried again, each on its own, or get their `failed`. */
  afterRollback(): void;
}

/** How long writes wait for another process that holds the file, and how often they look. */
const BUSY_MAX_MS = 5_000;
const BUSY_RETRY_MS = 200;

/** How long to wait before a write that must not be given up is tried again. */
const RETRY_MS = 1_000;

/**
 *   waiting ── BEGIN … COMMIT ──▶ written ── fsync of the log ──▶ durable: `committed()` is called
 *
 * The fsync runs beside the event loop, and what arrives meanwhile is the next group: the slower the disk, the larger
 * the groups, and the loop never stands still for it. Nor does the disk, while more is waiting.
 */
export class GroupCommit implements AsyncDisposable {
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  readonly #db: DatabaseSync;
  readonly #sync: () => Promise<void>;
  readonly #observer: CommitObserver;
  readonly #nextTurn = new NextTurn(() => this.#flush());
  #waiting: Write[] = [];
  /** Of a group that failed: each on its own, so that one that cannot succeed does not hold back the others. */
  #singly: Write[] = [];
  /** Failed on their own, but must not be given up. */
  #stubborn: Write[] = [];
  #syncing: Promise<void> | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #failure: unknown = null;
  /** Since when another process holds the file, by `performance.now()`. */
  #busySince: number | null = null;
  #isClosing = false;

  /** `sync` resolves when all that was committed before the call will survive a loss of power. */
  constructor(db: DatabaseSync, sync: () => Promise<void>, observer: CommitObserver) {
    // Prepared, because only prepared statements report SQLite's error code.
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
    this.#db = db;
    this.#sync = sync;
    this.#observer = observer;
  }

  /** The last commit's error; null while the disk takes writes. */
  get failure(): unknown {
    return this.#failure;
  }

  add(write: Write): void {
    this.#waiting.push(write);
    if (this.#syncing === null && this.#busySince === null) this.#nextTurn.request();
  }

  /** Makes durable what waits; what the disk refuses now is not tried again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    do {
      await this.#syncing;
      this.#flush();
    } while (this.#syncing !== null || this.#waiting.length + this.#singly.length > 0);
    this.#cancelRetry();
    this.#nextTurn[Symbol.dispose]();
  }

  #flush(): void {
    if (this.#syncing !== null) return;
    const group = this.#nextGroup();
    if (group.length > 0) this.#write(group);
  }

  #nextGroup(): Write[] {
    const single = this.#singly.shift();
    if (single !== undefined) return [single];
    const group = this.#waiting;
    this.#waiting = [];
    return group;
  }

  /** An empty group only finds out whether the disk takes writes again. */
  #write(group: Write[]): void {
    try {
      this.#inTransaction(group);
    } catch (error) {
      return this.#refused(group, error);
    }
    this.#failure = null;
    this.#busySince = null;
    this.#observer.written();
    // A failing fsync is not caught: whether the kernel still has the pages nobody can tell (as PostgreSQL learnt in
    // 2018), so the agent ends and the next start reads what is really there.
    this.#syncing = this.#sync().then(() => {
      this.#syncing = null;
      // The next group goes to the disk first: the loop acknowledges, answers and reads while the disk is busy.
      this.#flush();
      for (const write of group) write.committed();
      this.#observer.durable();
    });
  }

  #inTransaction(group: Write[]): void {
    this.#begin.run();
    try {
      for (const write of group) write.apply();
      this.#observer.beforeCommit();
      this.#commit.run();
    } catch (error) {
      // A full disk makes SQLite roll back by itself.
      if (this.#db.isTransaction) this.#rollback.run();
      throw error;
    }
  }

  #refused(group: Write[], error: unknown): void {
    this.#observer.afterRollback();
    if (isBusy(error)) return this.#postponed(group, error);
    this.#failure = error;
    if (group.length > 1) this.#singly.push(...group);
    else this.#stubborn.push(...group.filter((write) => write.failed(error)));
    if (this.#singly.length + this.#waiting.length > 0) this.#nextTurn.request();
    // Whatever becomes of the others, and never later for those that are refused after it.
    this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY_MS);
  }

  /** Another process holds the file: all wait together for a moment, then those who may not wait longer are refused. */
  #postponed(group: Write[], error: unknown): void {
    const now = performance.now();
    this.#busySince ??= now;
    let kept = group;
    if (this.#isClosing || now - this.#busySince > BUSY_MAX_MS) {
      this.#failure = error;
      kept = [...group, ...this.#waiting.splice(0)].filter((write) => write.failed(error));
    }
    if (this.#isClosing) return;
    this.#waiting.unshift(...kept);
    this.#cancelRetry();
    this.#retry = setTimeout(() => this.#tryAgain(), BUSY_RETRY_MS);
  }

  #cancelRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  #tryAgain(): void {
    this.#retry = null;
    this.#singly.push(...this.#stubborn);
    this.#stubborn = [];
    if (this.#singly.length + this.#waiting.length > 0) this.#flush();
    else if (this.#syncing === null && this.#failure !== null) this.#write([]);
  }
}
