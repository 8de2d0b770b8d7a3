/** Every statement that changes rows. Called inside a transaction. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { eventBody } from "../domain/event.ts";
import { type ArrayStatement, prepareArrays } from "./array_statement.ts";
import { COLUMNS, insertedAtOf, type StoredEvent, storedEvent, valuesOf } from "./event_columns.ts";
import type { QueuedEvent, Settlement } from "./queue.ts";

export class EventRows {
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #promote: ArrayStatement;
  readonly #wait: StatementSync;
  readonly #bury: StatementSync;
  readonly #postpone: StatementSync;
  readonly #addToLedger: StatementSync;

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare(
      `INSERT INTO event_items (${COLUMNS}, behind, inserted_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#delete = db.prepare("DELETE FROM event_items WHERE id = ?");
    this.#promote = prepareArrays(
      db,
      `UPDATE event_items SET behind = 0 WHERE rowid =
         (SELECT rowid FROM event_items INDEXED BY event_followers
          WHERE behind = 1 AND integration_key = ? AND alert_key = ? ORDER BY rowid LIMIT 1)
       RETURNING rowid, ${COLUMNS}`,
    );
    this.#wait = db.prepare(
      "UPDATE event_items SET attempts = ?, next_attempt_at = ?, last_error = ? WHERE id = ?",
    );
    this.#bury = db.prepare(
      `INSERT OR REPLACE INTO dead_letters (id, source, integration_key, alert_key, event_api_path, payload, status, reason,
         response_body, attempts, accepted_at, died_at)
       SELECT id, 'event', integration_key, alert_key, event_api_path, ?, ?, ?, ?, ?, created_at, ?
       FROM event_items WHERE id = ?`,
    );
    this.#postpone = db.prepare(
      "UPDATE event_items SET next_attempt_at = max(1, next_attempt_at + ?) WHERE next_attempt_at > 0",
    );
    this.#addToLedger = db.prepare(
      "UPDATE ledger SET accepted = accepted + ?, delivered = delivered + ?, purged = purged + ? WHERE id = 1",
    );
  }

  /** The rowid. `insertedAt` in ms since the epoch. */
  insert(queued: QueuedEvent, isFollower: boolean, insertedAt: number): number {
    const values = valuesOf(queued);
    values.push(isFollower ? 1 : 0, insertedAtOf(insertedAt));
    return Number(this.#insert.run(...values).lastInsertRowid);
  }

  /** False where it is gone already: an operator has dropped it. */
  remove(id: string): boolean {
    return this.#delete.run(id).changes === 1;
  }

  /** Makes the next event of this lane its head and answers with it. */
  promote(integrationKey: string, alertKey: string): StoredEvent | null {
    const next = this.#promote.get(integrationKey, alertKey);
    return next === undefined ? null : storedEvent(next);
  }

  wait(id: string, waiting: Settlement & { kind: "waiting" }): void {
    this.#wait.run(waiting.attempts, waiting.nextAttemptAt, waiting.lastError, id);
  }

  /** Moves an event to the dead letters; false where its row is gone. */
  bury(dying: QueuedEvent, death: Settlement & { kind: "dead" }, now: number): boolean {
    const { status, reason, responseBody, attempts } = death;
    const diedAt = new Date(now).toISOString();
    this.#bury.run(eventBody(dying.event), status, reason, responseBody, attempts, diedAt, dying.id);
    return this.remove(dying.id);
  }

  /** Moves all retries, as the wall clock was moved. */
  postpone(byMs: number): void {
    this.#postpone.run(byMs);
  }

  addToLedger(accepted: number, delivered: number, purged: number): void {
    this.#addToLedger.run(accepted, delivered, purged);
  }
}
