/**
 * Repairing a corrupt file: it is kept aside under another name, and what can still be read goes into a new one.
 * Only ever on an operator's word, because it decides what is given up.
 */

import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { type Ledger, unaccounted } from "../domain/ledger.ts";
import { failureOf } from "../runtime/failure.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { openDatabase, refuseForeignContent, refuseMissing, takeLock, verdictOf } from "./database.ts";
import { logPathOf } from "./database_files.ts";
import { countRows, readLedger } from "./file_figures.ts";

export interface Salvage {
  /** Where the corrupt file lies now; null where nothing was wrong. */
  aside: string | null;
  queued: number;
  dead: number;
  /** Of the ledger: accepted events that are neither delivered, purged nor found again; null where it is unreadable. */
  missing: number | null;
}

const TABLES = ["ilagent", "event_items", "mqtt_queue", "edge_items", "dead_letters"] as const;

/** Throws `StartupFailure` where the file is in use, is no database, or cannot be moved. */
export function repair(path: string, aside: string): Salvage {
  refuseMissing(path);
  refuseForeignContent(path);
  using _lock = takeLock(path);
  if (isHealthy(path)) return { aside: null, queued: 0, dead: 0, missing: 0 };
  move(path, aside);
  if (isThere(logPathOf(path))) move(logPathOf(path), logPathOf(aside));
  using old = new DatabaseSync(aside, { readOnly: true });
  const read = ledgerOf(old);
  openDatabase(path, () => {}, "locked")[Symbol.dispose]();
  using fresh = new DatabaseSync(path);
  fresh.exec("BEGIN IMMEDIATE");
  for (const table of TABLES) copyTable(old, fresh, table);
  const counts = countRows(fresh);
  const ledger = read ?? { accepted: counts.queued + counts.dead, delivered: 0, purged: 0 };
  // What is lost stays visible: the audit will not hold until an operator has looked.
  fresh.prepare("UPDATE ledger SET accepted = ?, delivered = ?, purged = ?")
    .run(ledger.accepted, ledger.delivered, ledger.purged);
  fresh.exec("COMMIT");
  return { aside, ...counts, missing: read === null ? null : unaccounted(ledger, counts) };
}

function isHealthy(path: string): boolean {
  try {
    using db = new DatabaseSync(path, { readOnly: true });
    return verdictOf(db) === "ok";
  } catch {
    // Not even its first page can be read.
    return false;
  }
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function move(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    throw new StartupFailure(`cannot move ${from} to ${to}: ${failureOf(error)}`, 1, { cause: error });
  }
}

/** Null where it cannot be read. */
function ledgerOf(db: DatabaseSync): Ledger | null {
  try {
    const ledger = readLedger(db);
    return Number.isNaN(ledger.accepted) ? null : ledger;
  } catch {
    return null;
  }
}

/** From both ends towards the damage; what lies between stays in the file kept aside. */
function copyTable(from: DatabaseSync, to: DatabaseSync, table: typeof TABLES[number]): void {
  const upwards = `SELECT rowid, * FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT 1`;
  const downwards = `SELECT rowid, * FROM ${table} WHERE rowid < ? ORDER BY rowid DESC LIMIT 1`;
  for (const [sql, start] of [[upwards, 0], [downwards, Number.MAX_SAFE_INTEGER]] as const) {
    try {
      // Row by row: iterate() ends at a corrupt page as if the table ended there.
      const next = from.prepare(sql);
      for (let row = next.get(start); row !== undefined; row = next.get(Number(row.rowid))) {
        insert(to, table, row);
      }
      return;
    } catch {
      // Here the damage begins; the other direction finds its other side.
    }
  }
}

function insert(to: DatabaseSync, table: string, row: Record<string, SQLOutputValue>): void {
  const names = Object.keys(row);
  to.prepare(`INSERT OR IGNORE INTO ${table} (${names.join()}) VALUES (${names.map(() => "?").join()})`)
    .run(...Object.values(row));
}
