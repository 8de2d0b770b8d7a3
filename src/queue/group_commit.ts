/** Everything that arrives while the disk is busy goes to disk in one transaction: one fsync for all of it. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NextTurn } from "../runtime/next_turn.ts";

export interface Write {
  /** Runs inside the transaction; may throw. */
  apply(): void;
  /** Called when it is durable. */
  committed(): void;
  /** Called after a rollback. True keeps the write for the next attempt. */
  failed(error: unknown): boolean;
}

/** Told about every transaction as a whole. */
export interface CommitObserver {
  /** Inside the transaction, after all its writes; may write and may throw. */
  beforeCommit(): void;
  /** After each write's `committed`. */
  afterCommit(): void;
  /** Before each write's `failed`. */
  afterRollback(): void;
}

/** How long to wait before a write that must not be given up is tried again. */
const RETRY_MS = 1_000;

/**
 *   waiting ── BEGIN … COMMIT ──▶ written ── fsync of the log ──▶ durable: `committed()` is called
 *
 * The fsync runs beside the event loop, and what arrives meanwhile is the next group: the slower the disk, the larger
 * the groups, and the loop never stands still for it.
 */
export class GroupCommit implements AsyncDisposable {
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  readonly #sync: () => Promise<void>;
  readonly #observer: CommitObserver;
  readonly #nextTurn = new NextTurn(() => this.#flush());
  #waiting: Write[] = [];
  #syncing: Promise<void> | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failure: unknown = null;

  /** `sync` resolves when all that was committed before the call will survive a loss of power. */
  constructor(db: DatabaseSync, sync: () => Promise<void>, observer: CommitObserver) {
    // Prepared, because only prepared statements report SQLite's error code.
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
    this.#sync = sync;
    this.#observer = observer;
  }

  /** The last commit's error; null while the disk takes writes. */
  get failure(): unknown {
    return this.#failure;
  }

  add(write: Write): void {
    this.#waiting.push(write);
    if (this.#syncing === null) this.#nextTurn.request();
  }

  /** Makes durable what waits, once; what the disk refuses now is not tried again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#syncing;
    this.#flush();
    await this.#syncing;
    clearTimeout(this.#retry);
    this.#nextTurn[Symbol.dispose]();
  }

  #flush(): void {
    const group = this.#waiting;
    if (group.length === 0 || this.#syncing !== null) return;
    this.#waiting = [];
    try {
      this.#inTransaction(group);
    } catch (error) {
      return this.#refuse(group, error);
    }
    this.#failure = null;
    // A failing fsync is not caught: whether the kernel still has the pages nobody can tell (as PostgreSQL learnt in
    // 2018), so the agent ends and the next start reads what is really there.
    this.#syncing = this.#sync().then(() => {
      this.#syncing = null;
      for (const write of group) write.committed();
      this.#observer.afterCommit();
      if (this.#waiting.length > 0) this.#nextTurn.request();
    });
  }

  #inTransaction(group: Write[]): void {
    this.#begin.run();
    try {
      for (const write of group) write.apply();
      this.#observer.beforeCommit();
      this.#commit.run();
    } catch (error) {
      try {
        this.#rollback.run();
      } catch {
        // SQLite has already rolled back by itself, as it does when the disk is full; the first error is the one that counts.
      }
      throw error;
    }
  }

  #refuse(group: Write[], error: unknown): void {
    this.#failure = error;
    this.#observer.afterRollback();
    const kept = group.filter((write) => write.failed(error));
    if (kept.length === 0) return;
    this.#waiting = [...kept, ...this.#waiting];
    clearTimeout(this.#retry);
    // What is left may fit where the whole group did not: deleting needs less room than inserting.
    this.#retry = setTimeout(() => this.#flush(), kept.length < group.length ? 0 : RETRY_MS);
  }
}
