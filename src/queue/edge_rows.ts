/** Every SQL statement of the edge connector, one operation in one place. Called inside a transaction where it writes. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { edgeItem } from "../domain/edge_item.ts";
import type { JsonObject } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import type { DeadItem, ReturnedItem } from "../edge/edge_store.ts";

export class EdgeRows {
  readonly #readCursor: StatementSync;
  readonly #writeCursor: StatementSync;
  readonly #insertDead: StatementSync;
  readonly #deleteDead: StatementSync;
  readonly #firstReturned: StatementSync;
  readonly #deleteReturned: StatementSync;
  readonly #wait: StatementSync;
  readonly #bury: StatementSync;
  readonly #addToLedger: StatementSync;
  readonly #dataVersion: StatementSync;

  constructor(db: DatabaseSync) {
    this.#readCursor = db.prepare("SELECT val FROM ilagent WHERE key = ?");
    this.#writeCursor = db.prepare(
      `INSERT INTO ilagent (key, val, created_at) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET val = excluded.val`,
    );
    this.#insertDead = db.prepare(
      `INSERT INTO dead_letters (id, source, alert_key, payload, status, reason, response_body, attempts, accepted_at,
         died_at)
       VALUES (?1, 'edge', ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)`,
    );
    this.#deleteDead = db.prepare("DELETE FROM dead_letters WHERE id = ?");
    this.#firstReturned = db.prepare("SELECT id, payload, attempts FROM edge_items ORDER BY rowid LIMIT 1");
    this.#deleteReturned = db.prepare("DELETE FROM edge_items WHERE id = ?");
    this.#wait = db.prepare("UPDATE edge_items SET attempts = attempts + 1, last_error = ? WHERE id = ?");
    this.#bury = db.prepare(
      `INSERT INTO dead_letters (id, source, alert_key, payload, status, reason, response_body, attempts, accepted_at,
         died_at)
       SELECT id, 'edge', ?2, payload, ?3, ?4, ?5, attempts + 1, accepted_at, ?6 FROM edge_items WHERE id = ?1`,
    );
    this.#addToLedger = db.prepare(
      "UPDATE ledger SET accepted = accepted + ?, delivered = delivered + ? WHERE id = 1",
    );
    this.#dataVersion = db.prepare("PRAGMA data_version");
  }

  cursor(key: string): string | null {
    return this.#readCursor.get(key)?.val as string | undefined ?? null;
  }

  keepCursor(key: string, id: string, now: number): void {
    this.#writeCursor.run(key, id, new Date(now).toISOString());
  }

  /** One row, however often the item came: those of earlier times are replaced, and the answer says how many. */
  insertDead(dead: DeadItem, now: number): { replacedDead: number; replacedReturned: number } {
    const { id, payload, alertId, status, reason, responseBody } = dead;
    const replacedDead = Number(this.#deleteDead.run(id).changes);
    const replacedReturned = Number(this.#deleteReturned.run(id).changes);
    const at = new Date(now).toISOString();
    this.#insertDead.run(id, alertId === "" ? null : alertId, payload, status, reason, responseBody, at);
    return { replacedDead, replacedReturned };
  }

  firstReturned(): ReturnedItem | null {
    const row = this.#firstReturned.get();
    if (row === undefined) return null;
    // What is returned was looked at then: a JSON object.
    const payload = parseJson(String(row.payload)) as JsonObject;
    return { item: edgeItem(String(row.id), payload), attempts: Number(row.attempts) };
  }

  /** 0 where an operator has removed the row meanwhile: then it is settled already, and counted. */
  removeReturned(id: string): number {
    return Number(this.#deleteReturned.run(id).changes);
  }

  waitReturned(id: string, lastError: string): void {
    this.#wait.run(lastError, id);
  }

  /** Moves a returned item to the dead letters again; 0 where its row is gone. */
  buryReturned(dead: Omit<DeadItem, "payload">, now: number): number {
    const { id, alertId, status, reason, responseBody } = dead;
    const diedAt = new Date(now).toISOString();
    this.#bury.run(id, alertId === "" ? null : alertId, status, reason, responseBody, diedAt);
    return this.removeReturned(id);
  }

  addToLedger(accepted: number, delivered: number): void {
    this.#addToLedger.run(accepted, delivered);
  }

  /** Changes when, and only when, another connection has changed the file (PRAGMA data_version). */
  foreignChanges(): number {
    return Number(this.#dataVersion.get()?.data_version);
  }
}
