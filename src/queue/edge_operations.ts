/** The part of an operator's work that concerns returned items of the edge connector. Called inside a transaction where it writes. */

import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";
import { isJsonObject } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import type { Item, Selection } from "./operator.ts";

const LIST = `id, accepted_at, NULL AS integration_key, payload ->> '$.id' AS alert_key,
  payload ->> '$.eventType' AS event_type, payload ->> '$.summary' AS summary, attempts, 0 AS next_attempt_at, last_error`;

/** The oldest first; `isWhole` with payload. */
export function findReturned(
  db: DatabaseSync,
  selection: Selection,
  limit: number,
  isWhole: boolean,
): Item[] {
  const { where, values } = condition(selection);
  return db.prepare(`SELECT ${isWhole ? "*" : LIST} FROM edge_items WHERE ${where} ORDER BY rowid LIMIT ?`)
    .all(...values, limit);
}

/** The agent sees the change and tries them at once. Answers how many. */
export function hastenReturned(db: DatabaseSync, selection: Selection): number {
  const { where, values } = condition(selection);
  return Number(db.prepare(`UPDATE edge_items SET last_error = NULL WHERE ${where}`).run(...values).changes);
}

export function dropReturned(db: DatabaseSync, selection: Selection): number {
  const { where, values } = condition(selection);
  return Number(db.prepare(`DELETE FROM edge_items WHERE ${where}`).run(...values).changes);
}

/** Puts a dead letter behind those returned before it; the answer is why it cannot be, or null. */
export function returnItem(db: DatabaseSync, letter: Record<string, SQLOutputValue>): string | null {
  const payload = String(letter.payload);
  if (!isJsonObject(parseJson(payload))) return "Its payload is not a JSON object.";
  db.prepare(
    `INSERT INTO edge_items (id, item_id, edge_connection, payload, accepted_at)
     SELECT id, item_id, edge_connection, payload, accepted_at FROM dead_letters WHERE id = ?`,
  ).run(String(letter.id));
  return null;
}

function condition({ ids, key, acceptedBefore, status }: Selection) {
  const terms: string[] = [];
  const values: SQLInputValue[] = [];
  if (ids.length > 0) {
    terms.push(`id IN (${ids.map(() => "?").join()})`);
    values.push(...ids);
  }
  if (acceptedBefore !== null) {
    terms.push("accepted_at < ?");
    values.push(acceptedBefore);
  }
  // They have neither an integration key nor an answer.
  if (key !== null || status !== null) terms.push("false");
  return { where: terms.length === 0 ? "true" : terms.join(" AND "), values };
}
