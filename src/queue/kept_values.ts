/** Single values that outlive the agent's runs, in the table that the Rust agent made for its own. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

export class KeptValues {
  readonly #db: DatabaseSync;
  readonly #get: StatementSync;
  readonly #set: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#get = db.prepare("SELECT val FROM ilagent WHERE key = ?");
    this.#set = db.prepare(
      `INSERT INTO ilagent (key, val, created_at) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET val = excluded.val`,
    );
  }

  get(key: string): string | null {
    return this.#get.get(key)?.val as string | undefined ?? null;
  }

  /** Survives a kill when it returns, and a loss of power some time later; throws what SQLite throws. */
  note(key: string, value: string): void {
    this.#set.run(key, value, new Date().toISOString());
  }

  /** Durable when it returns; throws what SQLite throws. For values that change once in a while: it waits for the disk. */
  set(key: string, value: string): void {
    this.#db.exec("PRAGMA synchronous = FULL");
    try {
      this.note(key, value);
    } finally {
      this.#db.exec("PRAGMA synchronous = NORMAL");
    }
  }
}
