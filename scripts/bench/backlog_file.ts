/** A database file with many queued events, as the agent itself would have written it. */

import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { eventText } from "./events.ts";

/** Between two of these the process can take a signal. */
const ROWS_PER_TURN = 10_000;

interface EventFields {
  integrationKey: string;
  eventType: string;
  summary: string;
  alertKey: string;
  details: string;
  priority: string;
  links: unknown;
  customDetails: unknown;
}

/** Adds `count` events, each the head of its own lane, to a file that an agent has created and closed. */
export async function fillBacklog(
  file: string,
  count: number,
  firstNumber: number,
  integrationKeys: readonly string[],
): Promise<void> {
  const db = new DatabaseSync(file);
  try {
    const known = columnsOf(db, "event_items");
    const columns = Object.keys(rowOf(firstNumber, integrationKeys)).filter((name) => known.has(name));
    const insert = db.prepare(
      `INSERT INTO event_items (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
    );
    db.exec("PRAGMA synchronous = OFF; BEGIN IMMEDIATE");
    for (let index = 0; index < count; index++) {
      const row = rowOf(firstNumber + index, integrationKeys);
      insert.run(...columns.map((name) => row[name] ?? null));
      if (index % ROWS_PER_TURN === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    // The Rust agent has none.
    if (columnsOf(db, "ledger").size > 0) {
      db.prepare("UPDATE ledger SET accepted = accepted + ?").run(count);
    }
    db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    db.close();
  }
}

function columnsOf(db: DatabaseSync, table: string): Set<string> {
  return new Set(
    db.prepare("SELECT name FROM pragma_table_info(?)").all(table).map(({ name }) => String(name)),
  );
}

/** The columns of both agents; those that a file has not are left out. */
function rowOf(number: number, integrationKeys: readonly string[]): Record<string, SQLInputValue> {
  const event: EventFields = JSON.parse(eventText(number, integrationKeys));
  return {
    id: idOf(number),
    integration_key: event.integrationKey,
    event_type: event.eventType,
    alert_key: event.alertKey,
    summary: event.summary,
    created_at: new Date().toISOString(),
    priority: event.priority,
    links: JSON.stringify(event.links),
    custom_details: JSON.stringify(event.customDetails),
    details: event.details,
    behind: 0,
  };
}

/** Shaped and ordered like the UUIDs (version 7) of the agent. */
function idOf(number: number): string {
  const random = crypto.randomUUID();
  return `01900000-${(number >>> 16).toString(16).padStart(4, "0")}-7${
    (number & 0xfff).toString(16).padStart(3, "0")
  }${random.slice(18)}`;
}
