/** The part of an operator's work that concerns messages in the file. Called inside a transaction where it writes. */

import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { Item, Selection } from "./operator.ts";

const LIST = "id, inserted_at AS accepted_at, source, topic, message_key";

/** Dead letters of these can be mapped anew. */
export function isMessage(source: unknown): boolean {
  return source === "mqtt" || source === "kafka";
}

/** The oldest first; `isWhole` with payload. */
export function findMessages(
  db: DatabaseSync,
  selection: Selection,
  limit: number,
  isWhole: boolean,
): Item[] {
  const { where, values } = condition(selection);
  return db.prepare(`SELECT ${isWhole ? "*" : LIST} FROM mqtt_queue WHERE ${where} ORDER BY rowid LIMIT ?`)
    .all(...values, limit);
}

/** None of them waits for a time, so there is nothing to hasten. */
export function countMessages(db: DatabaseSync, selection: Selection): number {
  const { where, values } = condition(selection);
  return Number(db.prepare(`SELECT count(*) AS n FROM mqtt_queue WHERE ${where}`).get(...values)?.n);
}

export function dropMessages(db: DatabaseSync, selection: Selection): number {
  const { where, values } = condition(selection);
  return Number(db.prepare(`DELETE FROM mqtt_queue WHERE ${where}`).run(...values).changes);
}

/** Puts a dead letter of a message behind all others, to be mapped anew by the agent. */
export function requeueMessage(db: DatabaseSync, id: string): void {
  db.prepare(
    `INSERT INTO mqtt_queue (id, source, topic, message_key, payload, inserted_at, counted)
     SELECT id, source, topic, message_key, payload, replace(replace(accepted_at, 'T', ' '), 'Z', ''), 1
     FROM dead_letters WHERE id = ?`,
  ).run(id);
}

function condition({ ids, key, acceptedBefore, status }: Selection) {
  const terms: string[] = [];
  const values: SQLInputValue[] = [];
  if (ids.length > 0) {
    terms.push(`id IN (${ids.map(() => "?").join()})`);
    values.push(...ids);
  }
  if (acceptedBefore !== null) {
    terms.push("replace(inserted_at, ' ', 'T') < ?");
    values.push(acceptedBefore);
  }
  // Which key a message has, only the mapping tells, and an answer it never had.
  if (key !== null || status !== null) terms.push("false");
  return { where: terms.length === 0 ? "true" : terms.join(" AND "), values };
}
