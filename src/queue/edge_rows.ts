/** Every SQL statement of the edge connector, one operation in one place. Called inside a transaction where it writes. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { edgeItem } from "../domain/edge_item.ts";
import type { JsonObject } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import type { DeadItem, ReturnedItem } from "../edge/edge_store.ts";

export class EdgeRows {
  readonly #connection: string;
  readonly #readCursor: StatementSync;
  readonly #writeCursor: StatementSync;
  readonly #insertDead: StatementSync;
  readonly #deleteSameDead: StatementSync;
  readonly #deleteSameReturned: StatementSync;
  readonly #isTaken: StatementSync;
  readonly #firstReturned: StatementSync;
  readonly #deleteReturned: StatementSync;
  readonly #wait: StatementSync;
  readonly #bury: StatementSync;
  readonly #addToLedger: StatementSync;
  readonly #dataVersion: StatementSync;
  readonly #bystanders: StatementSync;

  /** `connection` is as in the name of its cursor. */
  constructor(db: DatabaseSync, connection: string) {
    this.#connection = connection;
    this.#readCursor = db.prepare("SELECT val FROM ilagent WHERE key = ?");
    this.#writeCursor = db.prepare(
      `INSERT INTO ilagent (key, val, created_at) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET val = excluded.val`,
    );
    this.#insertDead = db.prepare(
      `INSERT INTO dead_letters (id, item_id, edge_connection, source, alert_key, payload, status, reason,
         response_body, attempts, accepted_at, died_at)
       VALUES (?1, ?2, ?3, 'edge', ?4, ?5, ?6, ?7, ?8, 1, ?9, ?9)`,
    );
    const isSame = "id IN (?1, ?2) AND payload = ?3 AND coalesce(edge_connection, ?4) = ?4";
    this.#deleteSameDead = db.prepare(`DELETE FROM dead_letters WHERE source = 'edge' AND ${isSame}`);
    this.#deleteSameReturned = db.prepare(`DELETE FROM edge_items WHERE ${isSame}`);
    this.#isTaken = db.prepare(
      "SELECT 1 FROM dead_letters WHERE id = ?1 UNION ALL SELECT 1 FROM edge_items WHERE id = ?1",
    );
    this.#firstReturned = db.prepare(
      `SELECT id, coalesce(item_id, id) AS item_id, payload, attempts FROM edge_items
       WHERE coalesce(edge_connection, ?1) = ?1 ORDER BY rowid LIMIT 1`,
    );
    this.#deleteReturned = db.prepare("DELETE FROM edge_items WHERE id = ?");
    this.#wait = db.prepare("UPDATE edge_items SET attempts = attempts + 1, last_error = ? WHERE id = ?");
    this.#bury = db.prepare(
      `INSERT INTO dead_letters (id, item_id, edge_connection, source, alert_key, payload, status, reason,
         response_body, attempts, accepted_at, died_at)
       SELECT id, item_id, edge_connection, 'edge', ?2, payload, ?3, ?4, ?5, attempts + 1, accepted_at, ?6
       FROM edge_items WHERE id = ?1`,
    );
    this.#addToLedger = db.prepare(
      "UPDATE ledger SET accepted = accepted + ?, delivered = delivered + ? WHERE id = 1",
    );
    this.#dataVersion = db.prepare("PRAGMA data_version");
    this.#bystanders = db.prepare(
      `SELECT (SELECT count(*) FROM event_items) + (SELECT count(*) FROM mqtt_queue) AS events,
         (SELECT count(*) FROM edge_items WHERE edge_connection <> ?) AS items`,
    );
  }

  cursor(key: string): string | null {
    return this.#readCursor.get(key)?.val as string | undefined ?? null;
  }

  keepCursor(key: string, id: string, now: number): void {
    this.#writeCursor.run(key, id, new Date(now).toISOString());
  }

  /**
   * One row, however often the same item came: those of earlier times are replaced, and the answer says how many. The
   * letter's id is the item's, unless a letter of another item has it: then `spareId`, which no other letter can have.
   */
  insertDead(
    dead: DeadItem,
    spareId: string,
    now: number,
  ): { replacedDead: number; replacedReturned: number } {
    const { id, payload, alertId, status, reason, responseBody } = dead;
    const connection = this.#connection;
    const replacedDead = Number(this.#deleteSameDead.run(id, spareId, payload, connection).changes);
    const replacedReturned = Number(this.#deleteSameReturned.run(id, spareId, payload, connection).changes);
    const letterId = this.#isTaken.get(id) === undefined ? id : spareId;
    const alertKey = alertId === "" ? null : alertId;
    const at = new Date(now).toISOString();
    this.#insertDead.run(letterId, id, connection, alertKey, payload, status, reason, responseBody, at);
    return { replacedDead, replacedReturned };
  }

  /** Of this connection, or of an agent that did not say of which. */
  firstReturned(): ReturnedItem | null {
    const row = this.#firstReturned.get(this.#connection);
    if (row === undefined) return null;
    // What is returned was looked at then: a JSON object.
    const payload = parseJson(String(row.payload)) as JsonObject;
    return {
      letterId: String(row.id),
      item: edgeItem(String(row.item_id), payload),
      attempts: Number(row.attempts),
    };
  }

  /** 0 where an operator has removed the row meanwhile: then it is settled already, and counted. */
  removeReturned(letterId: string): number {
    return Number(this.#deleteReturned.run(letterId).changes);
  }

  waitReturned(letterId: string, lastError: string): void {
    this.#wait.run(lastError, letterId);
  }

  /** Moves a returned item to the dead letters again; 0 where its row is gone. */
  buryReturned(letterId: string, dead: Omit<DeadItem, "id" | "payload">, now: number): number {
    const { alertId, status, reason, responseBody } = dead;
    const diedAt = new Date(now).toISOString();
    this.#bury.run(letterId, alertId === "" ? null : alertId, status, reason, responseBody, diedAt);
    return this.removeReturned(letterId);
  }

  addToLedger(accepted: number, delivered: number): void {
    this.#addToLedger.run(accepted, delivered);
  }

  /** Queued for others than this connection: events and messages of the relay, returned items of other connections. */
  bystanders(): { events: number; items: number } {
    const row = this.#bystanders.get(this.#connection);
    return { events: Number(row?.events), items: Number(row?.items) };
  }

  /** Changes when, and only when, another connection has changed the file (PRAGMA data_version). */
  foreignChanges(): number {
    return Number(this.#dataVersion.get()?.data_version);
  }
}
