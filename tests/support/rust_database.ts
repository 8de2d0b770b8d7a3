/** A database as the Rust agent 0.11 leaves it, made with that agent's statements. */

import { DatabaseSync } from "node:sqlite";

export function createRustDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  db.exec(`
    CREATE TABLE ilagent (key TEXT PRIMARY KEY, val TEXT NOT NULL, created_at TEXT NOT NULL);
    INSERT INTO ilagent VALUES ('mig_1', '1', 'then'), ('mig_2', '1', 'then'), ('mig_3', '1', 'then'),
      ('mig_4', '1', 'then'), ('mig_5', '1', 'then');
    CREATE TABLE event_items (
      id TEXT PRIMARY KEY, integration_key TEXT NOT NULL, event_type TEXT NOT NULL, alert_key TEXT NULL,
      summary TEXT NOT NULL, created_at TEXT NOT NULL, priority TEXT NULL, images TEXT NULL, links TEXT NULL,
      custom_details TEXT NULL, details TEXT NULL,
      inserted_at DATETIME DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')), event_api_path TEXT NULL);
    CREATE TABLE mqtt_queue (
      id TEXT PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL,
      inserted_at DATETIME DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')))`);
  return db;
}

export function insertRustEvent(db: DatabaseSync, event: Record<string, string>): void {
  const row: Record<string, string> = {
    integration_key: "il1api-test-key",
    event_type: "ALERT",
    summary: "s",
    created_at: "2026-05-04 10:00:00.123456789 UTC",
    ...event,
  };
  const names = Object.keys(row);
  db.prepare(`INSERT INTO event_items (${names.join()}) VALUES (${names.map(() => "?").join()})`)
    .run(...Object.values(row));
}
