/**
 * The schema, as numbered steps that are only ever added to.
 *
 * Steps of the Rust agent (0.11) carry markers `mig_1`…`mig_5` in its table `ilagent` and are repeated here, so that
 * an empty file becomes one it can open. Ours are counted in `user_version`, which it does not use. Columns added to
 * its tables are nullable or have defaults, because it inserts into them by name and must go on working.
 */

import type { DatabaseSync } from "node:sqlite";

const RUST_MIGRATIONS: readonly (readonly [marker: string, sql: string])[] = [
  [
    "mig_1",
    `CREATE TABLE event_items (
      id TEXT PRIMARY KEY, api_key TEXT NOT NULL, event_type TEXT NOT NULL, incident_key TEXT NULL,
      summary TEXT NOT NULL, created_at TEXT NOT NULL, priority TEXT NULL, images TEXT NULL, links TEXT NULL,
      custom_details TEXT NULL, details TEXT NULL)`,
  ],
  [
    "mig_2",
    // Not ALTER TABLE: SQLite adds a column with such a default only to an empty table.
    `CREATE TABLE migrated (
      id TEXT PRIMARY KEY, api_key TEXT NOT NULL, event_type TEXT NOT NULL, alert_key TEXT NULL,
      summary TEXT NOT NULL, created_at TEXT NOT NULL, priority TEXT NULL, images TEXT NULL, links TEXT NULL,
      custom_details TEXT NULL, details TEXT NULL,
      inserted_at DATETIME DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')));
     INSERT INTO migrated (id, api_key, event_type, alert_key, summary, created_at, priority, images, links,
       custom_details, details)
     SELECT id, api_key, event_type, incident_key, summary, created_at, priority, images, links, custom_details,
       details FROM event_items ORDER BY rowid;
     DROP TABLE event_items;
     ALTER TABLE migrated RENAME TO event_items`,
  ],
  ["mig_3", "ALTER TABLE event_items ADD COLUMN event_api_path TEXT NULL"],
  ["mig_4", "ALTER TABLE event_items RENAME COLUMN api_key TO integration_key"],
  [
    "mig_5",
    `CREATE TABLE mqtt_queue (
      id TEXT PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL,
      inserted_at DATETIME DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')))`,
  ],
];

/**
 * `behind`: 0 for the head of a lane, 1 for the others, null for a row another program wrote.
 * `next_attempt_at`: ms since the epoch; 0 for a row that waits for nothing.
 * `counted`: whether the ledger has the message as accepted; 0 for a row another program wrote.
 * `source`, `message_key`: the kind of broker, and Kafka's own key of a message.
 * `edge_items`: dead letters of the edge connector that are to be delivered again.
 * `item_id`, `edge_connection`: ilert's id of the item, which several letters may have, and the digits of its connection;
 * null in a letter that an earlier agent wrote, whose `id` is the item's.
 */
const MIGRATIONS: readonly string[] = [
  `ALTER TABLE event_items ADD COLUMN severity INTEGER;
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
   INSERT INTO ledger VALUES (1, 0, 0, 0)`,
  `ALTER TABLE dead_letters ADD COLUMN topic TEXT;
   ALTER TABLE mqtt_queue ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
   CREATE TABLE edge_items (
     id TEXT PRIMARY KEY, payload TEXT NOT NULL, accepted_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
     last_error TEXT)`,
  `ALTER TABLE dead_letters ADD COLUMN message_key TEXT;
   ALTER TABLE mqtt_queue ADD COLUMN source TEXT NOT NULL DEFAULT 'mqtt';
   ALTER TABLE mqtt_queue ADD COLUMN message_key TEXT`,
  `DROP INDEX event_lanes;
   DROP INDEX event_heads;
   CREATE INDEX event_followers ON event_items (integration_key, alert_key) WHERE behind = 1;
   CREATE INDEX event_retries ON event_items (integration_key, next_attempt_at) WHERE next_attempt_at > 0`,
  `ALTER TABLE dead_letters ADD COLUMN item_id TEXT;
   ALTER TABLE dead_letters ADD COLUMN edge_connection TEXT;
   ALTER TABLE edge_items ADD COLUMN item_id TEXT;
   ALTER TABLE edge_items ADD COLUMN edge_connection TEXT`,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Brings any older file up to date. Called inside a transaction. */
export function migrate(db: DatabaseSync): void {
  db.exec(
    "CREATE TABLE IF NOT EXISTS ilagent (key TEXT PRIMARY KEY, val TEXT NOT NULL, created_at TEXT NOT NULL)",
  );
  const marked = db.prepare("SELECT 1 FROM ilagent WHERE key = ?");
  const mark = db.prepare("INSERT INTO ilagent (key, val, created_at) VALUES (?, '1', ?)");
  for (const [marker, sql] of RUST_MIGRATIONS) {
    if (marked.get(marker) !== undefined) continue;
    db.exec(sql);
    mark.run(marker, new Date().toISOString());
  }
  for (const sql of MIGRATIONS.slice(schemaVersion(db))) db.exec(sql);
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}

export function schemaVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version);
}
