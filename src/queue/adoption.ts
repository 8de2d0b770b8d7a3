/** What a start finds in the file: rows of other programs, and the heads and lanes that memory holds from then on. */

import type { DatabaseSync } from "node:sqlite";
import { prepareArrays } from "./array_statement.ts";
import type { LiveLanes } from "./live_lanes.ts";

/** Between two reads; more would only take more memory. */
const ROWS_AT_ONCE = 2_000;

/**
 * Rows another agent wrote into the file are counted as accepted; those without a usable integration key become dead
 * letters. Retries further away than any that we set are due at once: the wall clock was wrong then or is now.
 */
export function adopt(db: DatabaseSync, now: number, retryMaxMs: number): void {
  db.prepare("UPDATE event_items SET next_attempt_at = 1 WHERE next_attempt_at > ?").run(now + retryMaxMs);
  const foreign = Number(
    db.prepare("SELECT count(*) AS n FROM event_items INDEXED BY event_foreign WHERE behind IS NULL").get()
      ?.n,
  );
  if (foreign === 0) return;
  db.prepare("UPDATE ledger SET accepted = accepted + ?").run(foreign);
  const unusable = "behind IS NULL AND (trim(integration_key) = '' OR instr(integration_key, char(0)) > 0)";
  db.prepare(
    `INSERT OR REPLACE INTO dead_letters (id, source, integration_key, alert_key, event_api_path, payload, reason,
       attempts, accepted_at, died_at)
     SELECT id, 'event', integration_key, alert_key, event_api_path,
       json_object('integrationKey', integration_key, 'eventType', event_type, 'summary', summary,
         'alertKey', alert_key, 'details', details, 'customDetails', custom_details),
       'the integration key is empty or unusable', 0, created_at, ?
     FROM event_items WHERE ${unusable}`,
  ).run(new Date(now).toISOString());
  db.exec(
    `DELETE FROM event_items WHERE ${unusable}; UPDATE event_items SET behind = 0 WHERE behind IS NULL`,
  );
}

/**
 * Goes through all rows in order: `lanes` gets their lanes, `onFresh` each head that waits for no retry, and `behind`
 * is set right where a program that knows nothing of it has removed or added rows. Answers how many are followers.
 */
export function readHeads(
  db: DatabaseSync,
  lanes: LiveLanes,
  onFresh: (integrationKey: string, rowid: number) => void,
): number {
  const read = prepareArrays(
    db,
    `SELECT rowid, integration_key, alert_key, behind, next_attempt_at FROM event_items
     WHERE rowid > ? AND behind IS NOT NULL ORDER BY rowid LIMIT ${ROWS_AT_ONCE}`,
  );
  const setBehind = db.prepare("UPDATE event_items SET behind = ? WHERE rowid = ?");
  let followers = 0;
  lanes.clear();
  for (let last = 0;;) {
    const rows = read.all(last);
    for (const [rowid, integrationKey, alertKey, behind, nextAttemptAt] of rows) {
      last = Number(rowid);
      const isHead = alertKey === null || lanes.found(String(integrationKey), String(alertKey));
      if (!isHead) followers++;
      if (Number(behind) !== Number(!isHead)) setBehind.run(Number(!isHead), last);
      if (isHead && nextAttemptAt === 0) onFresh(String(integrationKey), last);
    }
    if (rows.length < ROWS_AT_ONCE) return followers;
  }
}
