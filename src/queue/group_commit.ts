/** Everything that arrives in one turn of the event loop goes to disk in one transaction: one fsync for all of it. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

export interface Write {
  /** Runs inside the transaction; may throw. */
  apply(): void;
  /** Called after the commit. */
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

export class GroupCommit implements Disposable {
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  readonly #turn = new MessageChannel();
  #waiting: Write[] = [];
  #scheduled = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failure: unknown = null;

  readonly #observer: CommitObserver;

  constructor(db: DatabaseSync, observer: CommitObserver) {
    this.#observer = observer;
    // Prepared, because only prepared statements report SQLite's error code.
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
    this.#turn.port1.onmessage = () => this.flush();
  }

  /** The last commit's error; null while the disk takes writes. */
  get failure(): unknown {
    return this.#failure;
  }

  add(write: Write): void {
    this.#waiting.push(write);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // A message arrives after what this turn still brings in, and far sooner than the shortest timer.
    this.#turn.port2.postMessage(null);
  }

  /** Commits what waits, now. */
  flush(): void {
    this.#scheduled = false;
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    try {
      this.#inTransaction(group);
    } catch (error) {
      this.#failure = error;
      this.#observer.afterRollback();
      const kept = group.filter((write) => write.failed(error));
      // What is left may fit where the whole group did not: deleting needs less room than inserting.
      if (kept.length > 0 && kept.length < group.length) return this.#again(kept, 0);
      if (kept.length > 0) return this.#again(kept, RETRY_MS);
      return;
    }
    this.#failure = null;
    for (const write of group) write.committed();
    this.#observer.afterCommit();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#retry);
    this.flush();
    clearTimeout(this.#retry);
    this.#turn.port1.close();
    this.#turn.port2.close();
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

  #again(kept: Write[], delayMs: number): void {
    this.#waiting = [...kept, ...this.#waiting];
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.flush(), delayMs);
  }
}
