/** Reads the dead letters from a running agent's file, as the contract allows (§3: rows of plain text). */

import { DatabaseSync } from "node:sqlite";

/** The statuses of those with this integration key. */
export function deadStatuses(file: string, integrationKey: string): (number | null)[] {
  using database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  const rows = database.prepare("SELECT status FROM dead_letters WHERE integration_key = ?").all(
    integrationKey,
  );
  return rows.map(({ status }) => status === null ? null : Number(status));
}
