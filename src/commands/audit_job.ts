/** `ilagent audit` inside the jail: the ledger against the rows, read in one transaction. */

import { unaccounted } from "../domain/ledger.ts";
import { openForCommand } from "../queue/database.ts";
import { countRows, readLedger } from "../queue/file_figures.ts";
import { printLine } from "../runtime/print.ts";

export interface AuditJob {
  kind: "audit";
  file: string;
  json: boolean;
}

/** 0 where every accepted event is accounted for, else 1. */
export function audit(job: AuditJob): number {
  using database = openForCommand(job.file, "read");
  database.db.exec("BEGIN");
  const ledger = readLedger(database.db);
  const rows = countRows(database.db);
  database.db.exec("COMMIT");
  const missing = unaccounted(ledger, rows);
  if (job.json) {
    printLine(JSON.stringify({ ...ledger, ...rows, unaccounted: missing, holds: missing === 0 }));
  } else {
    for (const [name, count] of Object.entries({ ...ledger, ...rows })) {
      printLine(`${name.padEnd(12)}${String(count).padStart(12)}`);
    }
    printLine(verdict(missing));
  }
  return missing === 0 ? 0 : 1;
}

function verdict(missing: number): string {
  if (missing === 0) return "The ledger holds: accepted = delivered + purged + queued + dead.";
  if (missing > 0) {
    return `The ledger does NOT hold: ${missing} accepted events have neither a row nor a delivery. ` +
      "Rows were deleted by something else than this agent, or delivered by another one.";
  }
  return `The ledger does NOT hold: ${-missing} rows were never counted as accepted. ` +
    "Another program wrote them; the daemon counts such rows when it starts.";
}
