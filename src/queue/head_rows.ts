/** Every statement that looks for heads: new ones by rowid, retries by integration key and due time. Writes nothing. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type ArrayStatement, prepareArrays } from "./array_statement.ts";
import { COLUMNS, type StoredEvent, storedEvent } from "./event_columns.ts";

/** A retry and its place in the order of its key's retries. */
export interface WaitingHead extends StoredEvent {
  nextAttemptAt: number;
}

/** Of the order of one key's retries. */
export interface Place {
  nextAttemptAt: number;
  rowid: number;
}

export const FIRST_PLACE: Place = { nextAttemptAt: 0, rowid: 0 };

export class HeadRows {
  readonly #fresh: ArrayStatement;
  readonly #waiting: ArrayStatement;
  readonly #keyAfter: StatementSync;
  readonly #nextDue: StatementSync;

  constructor(db: DatabaseSync) {
    this.#fresh = prepareArrays(
      db,
      `SELECT rowid, ${COLUMNS} FROM event_items WHERE rowid = ? AND behind = 0 AND next_attempt_at = 0`,
    );
    this.#waiting = prepareArrays(
      db,
      `SELECT rowid, ${COLUMNS}, next_attempt_at FROM event_items INDEXED BY event_retries
       WHERE integration_key = ? AND next_attempt_at > 0 AND next_attempt_at <= ?
         AND (next_attempt_at, rowid) > (?, ?)
       ORDER BY next_attempt_at, rowid LIMIT ?`,
    );
    this.#keyAfter = db.prepare(
      `SELECT integration_key FROM event_items INDEXED BY event_retries
       WHERE integration_key > ? AND next_attempt_at > 0 ORDER BY integration_key LIMIT 1`,
    );
    this.#nextDue = db.prepare(
      "SELECT min(next_attempt_at) AS at FROM event_items WHERE next_attempt_at > 0 AND next_attempt_at > ?",
    );
  }

  /** Null where the row is gone, or waits for a retry. */
  fresh(rowid: number): StoredEvent | null {
    const row = this.#fresh.get(rowid);
    return row === undefined ? null : storedEvent(row);
  }

  /** Retries of one key due at `dueAt` or before, in order. */
  waiting(key: string, dueAt: number, after: Place, limit: number): WaitingHead[] {
    const rows = this.#waiting.all(key, dueAt, after.nextAttemptAt, after.rowid, limit);
    return rows.map((row) => ({ ...storedEvent(row), nextAttemptAt: Number(row.at(-1)) }));
  }

  /** The next integration key that has retries, due or not; null after the last. */
  keyAfter(key: string): string | null {
    return this.#keyAfter.get(key)?.integration_key as string | undefined ?? null;
  }

  /** The earliest retry after `now`; null when there is none. */
  nextDueAfter(now: number): number | null {
    return this.#nextDue.get(now)?.at as number | null;
  }
}
