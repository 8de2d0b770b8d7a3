/** A database as this agent left it before memory knew the lanes: two more indexes, made with that agent's statements. */

import { DatabaseSync } from "node:sqlite";
import { createRustDatabase } from "./rust_database.ts";

export function createEarlierDatabase(path: string): DatabaseSync {
  const db = createRustDatabase(path);
  db.exec(`
    ALTER TABLE event_items ADD COLUMN severity INTEGER;
    ALTER TABLE event_items ADD COLUMN routing_key TEXT;
    ALTER TABLE event_items ADD COLUMN labels TEXT;
    ALTER TABLE event_items ADD COLUMN services TEXT;
    ALTER TABLE event_items ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE event_items ADD COLUMN next_attempt_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE event_items ADD COLUMN last_error TEXT;
    ALTER TABLE event_items ADD COLUMN behind INTEGER;
    CREATE INDEX event_lanes ON event_items (integration_key, alert_key) WHERE alert_key IS NOT NULL;
    CREATE INDEX event_heads ON event_items (integration_key, next_attempt_at) WHERE behind = 0;
    CREATE INDEX event_waiting ON event_items (next_attempt_at) WHERE next_attempt_at > 0;
    CREATE INDEX event_foreign ON event_items (id) WHERE behind IS NULL;
    CREATE TABLE dead_letters (
      id TEXT PRIMARY KEY, source TEXT NOT NULL, integration_key TEXT, alert_key TEXT, event_api_path TEXT,
      payload TEXT NOT NULL, status INTEGER, reason TEXT NOT NULL, response_body TEXT, attempts INTEGER NOT NULL,
      accepted_at TEXT NOT NULL, died_at TEXT NOT NULL);
    CREATE TABLE ledger (
      id INTEGER PRIMARY KEY CHECK (id = 1), accepted INTEGER NOT NULL, delivered INTEGER NOT NULL,
      purged INTEGER NOT NULL);
    INSERT INTO ledger VALUES (1, 0, 0, 0);
    PRAGMA user_version = 1`);
  return db;
}
