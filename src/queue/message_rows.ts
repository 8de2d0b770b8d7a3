/**
 * Every SQL statement on messages in the file: those that wait in `mqtt_queue`, as the Rust agent calls it, and those
 * that are dead letters. Called inside a transaction where it writes.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { eventBody } from "../domain/event.ts";
import type { BrokerKind } from "../domain/topics.ts";
import type { DeadEvent, Death, KeptMessage, QueuedMessage } from "./messages.ts";
import { payloadOfText, textOfPayload } from "./payload_text.ts";

export class MessageRows {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #after: StatementSync;
  readonly #remove: StatementSync;
  readonly #oldest: StatementSync;
  readonly #buryEvent: StatementSync;
  readonly #buryMessage: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#insert = db.prepare(
      `INSERT INTO mqtt_queue (id, source, topic, message_key, payload, inserted_at, counted)
       VALUES (?, ?, ?, ?, ?, ?, 1) RETURNING rowid`,
    );
    this.#after = db.prepare(
      `SELECT rowid, id, source, topic, message_key, payload, inserted_at FROM mqtt_queue
       WHERE rowid > ? ORDER BY rowid LIMIT ?`,
    );
    this.#remove = db.prepare("DELETE FROM mqtt_queue WHERE id = ?");
    this.#oldest = db.prepare("SELECT inserted_at FROM mqtt_queue ORDER BY rowid LIMIT 1");
    this.#buryEvent = db.prepare(
      `INSERT INTO dead_letters (id, source, integration_key, alert_key, event_api_path, topic, payload, status, reason,
         response_body, attempts, accepted_at, died_at)
       VALUES (?, 'event', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#buryMessage = db.prepare(
      `INSERT OR REPLACE INTO dead_letters (id, source, topic, message_key, payload, status, reason, response_body,
         attempts, accepted_at, died_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
  }

  /** Counts as accepted what another program has put into the queue. */
  adopt(): void {
    const counted = this.#db.prepare("UPDATE mqtt_queue SET counted = 1 WHERE counted = 0").run();
    this.#db.prepare("UPDATE ledger SET accepted = accepted + ?").run(counted.changes);
  }

  /** Answers with its place. */
  insert(id: string, { broker, topic, key, payload }: QueuedMessage, acceptedAt: number): number {
    const row = this.#insert.get(id, broker, topic, key, textOfPayload(payload), timeText(acceptedAt));
    return Number(row?.rowid);
  }

  /** Those kept after `place`, the oldest first. */
  after(place: number, limit: number): KeptMessage[] {
    return this.#after.all(place, limit).map((row) => ({
      id: String(row.id),
      place: Number(row.rowid),
      broker: row.source as BrokerKind,
      topic: String(row.topic),
      key: row.message_key as string | null,
      payload: payloadOfText(String(row.payload)),
      acceptedAt: timeOf(String(row.inserted_at)),
    }));
  }

  /** False where there is no such row any more. */
  remove(id: string): boolean {
    return this.#remove.run(id).changes > 0;
  }

  count(): number {
    return Number(this.#db.prepare("SELECT count(*) AS n FROM mqtt_queue").get()?.n);
  }

  /** When the oldest was kept, in ms since the epoch; null where there is none. */
  oldestAcceptedAt(): number | null {
    const row = this.#oldest.get();
    return row === undefined ? null : timeOf(String(row.inserted_at));
  }

  buryEvent({ event, apiPath, topic, death, acceptedAt }: DeadEvent, now: number): void {
    const { status, reason, responseBody, attempts } = death;
    this.#buryEvent.run(
      ...[crypto.randomUUID(), event.integrationKey, event.alertKey, apiPath, topic, eventBody(event)],
      ...[status, reason, responseBody, attempts, isoTime(acceptedAt), isoTime(now)],
    );
  }

  buryMessage(id: string, message: QueuedMessage, death: Death, acceptedAt: number, now: number): void {
    const { broker, topic, key, payload } = message;
    const { status, reason, responseBody, attempts } = death;
    this.#buryMessage.run(
      ...[id, broker, topic, key, textOfPayload(payload), status, reason, responseBody, attempts],
      ...[isoTime(acceptedAt), isoTime(now)],
    );
  }
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}

/** As SQLite's default for the column writes it, which is what the Rust agent leaves there. */
function timeText(at: number): string {
  return isoTime(at).replace("T", " ").replace("Z", "");
}

function timeOf(text: string): number {
  const at = Date.parse(`${text.replace(" ", "T").replace(/Z$/, "")}Z`);
  return Number.isNaN(at) ? 0 : at;
}
