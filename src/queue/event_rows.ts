/** Every SQL statement on the queue's rows, one operation in one place. Called inside a transaction where it writes. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type AlertEvent, eventBody, type EventType, type Priority } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import type { QueuedEvent, Settlement } from "./queue.ts";

type Row = Record<string, string | number | bigint | null | Uint8Array>;

const COLUMNS =
  `id, created_at, integration_key, event_type, alert_key, summary, priority, images, links, custom_details,
  details, event_api_path, severity, routing_key, labels, services, attempts`;

export class EventRows {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #advance: StatementSync;
  readonly #wait: StatementSync;
  readonly #bury: StatementSync;
  readonly #keyAfter: StatementSync;
  readonly #due: StatementSync;
  readonly #fresh: StatementSync;
  readonly #headsOf: StatementSync;
  readonly #headsAfter: StatementSync;
  readonly #postpone: StatementSync;
  readonly #nextDue: StatementSync;
  readonly #addToLedger: StatementSync;
  readonly #dataVersion: StatementSync;
  readonly #pageCount: StatementSync;
  readonly #freePages: StatementSync;
  readonly #oldest: StatementSync;
  readonly #pageSize: number;
  /** Where the rotation stands: the key it answered last, and the place within each key. */
  #rotationKey = "";
  readonly #rotationPlaces = new Map<string, { nextAttemptAt: number; rowid: number }>();

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#insert = db.prepare(
      `INSERT INTO event_items (${COLUMNS}, behind) VALUES
       (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
        EXISTS (SELECT 1 FROM event_items WHERE integration_key = ?3 AND alert_key = ?5))
       RETURNING behind`,
    );
    this.#delete = db.prepare("DELETE FROM event_items WHERE id = ?");
    this.#advance = db.prepare(
      `UPDATE event_items SET behind = 0 WHERE rowid =
         (SELECT rowid FROM event_items WHERE integration_key = ? AND alert_key = ? ORDER BY rowid LIMIT 1)
       RETURNING ${COLUMNS}`,
    );
    this.#wait = db.prepare(
      "UPDATE event_items SET attempts = ?, next_attempt_at = ?, last_error = ? WHERE id = ?",
    );
    this.#bury = db.prepare(
      `INSERT OR REPLACE INTO dead_letters (id, source, integration_key, alert_key, event_api_path, payload, status, reason,
         response_body, attempts, accepted_at, died_at)
       SELECT id, 'event', integration_key, alert_key, event_api_path, ?, ?, ?, ?, ?, created_at, ?
       FROM event_items WHERE id = ?`,
    );
    this.#keyAfter = db.prepare(
      `SELECT integration_key FROM event_items INDEXED BY event_heads
       WHERE behind = 0 AND integration_key > ? ORDER BY integration_key LIMIT 1`,
    );
    this.#due = db.prepare(
      `SELECT ${COLUMNS} FROM event_items INDEXED BY event_heads
       WHERE behind = 0 AND integration_key = ? AND next_attempt_at BETWEEN 1 AND ?
       ORDER BY next_attempt_at, rowid LIMIT ?`,
    );
    this.#fresh = db.prepare(
      `SELECT ${COLUMNS} FROM event_items INDEXED BY event_heads
       WHERE behind = 0 AND integration_key = ? AND next_attempt_at = 0 ORDER BY rowid LIMIT ?`,
    );
    this.#headsOf = db.prepare(
      `SELECT ${COLUMNS} FROM event_items INDEXED BY event_heads WHERE behind = 0 AND integration_key = ?
       ORDER BY next_attempt_at, rowid LIMIT ?`,
    );
    this.#headsAfter = db.prepare(
      `SELECT ${COLUMNS}, rowid, next_attempt_at FROM event_items INDEXED BY event_heads
       WHERE behind = 0 AND integration_key = ? AND (next_attempt_at, rowid) > (?, ?)
       ORDER BY next_attempt_at, rowid LIMIT ?`,
    );
    this.#postpone = db.prepare(
      "UPDATE event_items SET next_attempt_at = max(1, next_attempt_at + ?) WHERE next_attempt_at > 0",
    );
    this.#nextDue = db.prepare(
      "SELECT min(next_attempt_at) AS at FROM event_items WHERE next_attempt_at > 0 AND next_attempt_at > ?",
    );
    this.#addToLedger = db.prepare(
      "UPDATE ledger SET accepted = accepted + ?, delivered = delivered + ?, purged = purged + ? WHERE id = 1",
    );
    this.#dataVersion = db.prepare("PRAGMA data_version");
    this.#pageCount = db.prepare("PRAGMA page_count");
    this.#freePages = db.prepare("PRAGMA freelist_count");
    this.#oldest = db.prepare("SELECT created_at FROM event_items ORDER BY rowid LIMIT 1");
    this.#pageSize = Number(db.prepare("PRAGMA page_size").get()?.page_size);
  }

  /** True where the new row is the head of its lane. */
  insert(queued: QueuedEvent): boolean {
    const { event } = queued;
    const row = this.#insert.get(
      queued.id,
      new Date(queued.acceptedAt).toISOString(),
      event.integrationKey,
      event.eventType,
      event.alertKey,
      event.summary,
      event.priority,
      jsonText(event.images),
      jsonText(event.links),
      jsonText(event.customDetails),
      event.details,
      queued.apiPath,
      event.severity,
      event.routingKey,
      jsonText(event.labels),
      jsonText(event.services),
      queued.attempts,
    );
    return row?.behind === 0;
  }

  /** False where there is no such row any more. */
  remove(id: string): boolean {
    return this.#delete.run(id).changes > 0;
  }

  /** Makes the next event of this lane its head and answers with it. */
  advance({ integrationKey, alertKey }: AlertEvent): QueuedEvent | null {
    if (alertKey === null) return null;
    const next = this.#advance.get(integrationKey, alertKey);
    return next === undefined ? null : queuedEvent(next as Row);
  }

  wait(id: string, waiting: Settlement & { kind: "waiting" }): void {
    this.#wait.run(waiting.attempts, waiting.nextAttemptAt, waiting.lastError, id);
  }

  /** Moves an event to the dead letters; false where its row is gone. */
  bury(dying: QueuedEvent, death: Settlement & { kind: "dead" }, now: number): boolean {
    const { status, reason, responseBody, attempts } = death;
    const diedAt = new Date(now).toISOString();
    this.#bury.run(eventBody(dying.event), status, reason, responseBody, attempts, diedAt, dying.id);
    return this.remove(dying.id);
  }

  /** The next integration key that has a head, in their order; null after the last. */
  keyAfter(key: string): string | null {
    return this.#keyAfter.get(key)?.integration_key as string | undefined ?? null;
  }

  /**
   * Heads of one integration key: up to `limit` retries that are due and as many new ones, so that neither holds back
   * the other. `isAll` is false where the limit may have cut some off.
   */
  claimable(
    key: string,
    now: number,
    taken: ReadonlySet<string>,
    limit: number,
  ): { heads: QueuedEvent[]; isAll: boolean } {
    const due = untaken(this.#due.all(key, now, limit + taken.size), taken, limit);
    const fresh = untaken(this.#fresh.all(key, limit + taken.size), taken, limit);
    return { heads: [...due, ...fresh], isAll: due.length < limit && fresh.length < limit };
  }

  /** The first head, due or not, of an integration key that `admits`. */
  probe(admits: (key: string) => boolean, taken: ReadonlySet<string>): QueuedEvent | null {
    for (const key of this.#keysAfter("")) {
      const head = admits(key) ? this.headOf(key, taken) : null;
      if (head !== null) return head;
    }
    return null;
  }

  /** The first head of this integration key, due or not. */
  headOf(key: string, taken: ReadonlySet<string>): QueuedEvent | null {
    return untaken(this.#headsOf.all(key, 1 + taken.size), taken, 1)[0] ?? null;
  }

  /** A head of the next admitted key in turn; within a key, each of its heads in turn. */
  rotate(admits: (key: string) => boolean, taken: ReadonlySet<string>): QueuedEvent | null {
    for (const keys of [this.#keysAfter(this.#rotationKey), this.#keysUpTo(this.#rotationKey)]) {
      for (const key of keys) {
        const head = admits(key) ? this.#nextHeadOf(key, taken) : null;
        if (head === null) continue;
        this.#rotationKey = key;
        return head;
      }
    }
    return null;
  }

  /** The earliest retry after `now`; null when there is none. */
  nextDueAfter(now: number): number | null {
    return this.#nextDue.get(now)?.at as number | null;
  }

  /** Moves all retries, as the wall clock was moved. */
  postpone(byMs: number): void {
    this.#postpone.run(byMs);
  }

  addToLedger(accepted: number, delivered: number, purged: number): void {
    this.#addToLedger.run(accepted, delivered, purged);
  }

  /** Changes when, and only when, another connection has changed the file (PRAGMA data_version). */
  foreignChanges(): number {
    return Number(this.#dataVersion.get()?.data_version);
  }

  /** Of the pages in use. */
  bytesUsed(): number {
    const pages = Number(this.#pageCount.get()?.page_count) - Number(this.#freePages.get()?.freelist_count);
    return pages * this.#pageSize;
  }

  /** In ms since the epoch; null where no event is queued. */
  oldestAcceptedAt(): number | null {
    const row = this.#oldest.get();
    return row === undefined ? null : acceptedAtOf(row.created_at as Row[string]);
  }

  ledger(): Ledger {
    return readLedger(this.#db);
  }

  counts(): RowCounts {
    return countRows(this.#db);
  }

  /**
   * Rows another agent wrote into the file get their place in their lanes and are counted as accepted; those without a
   * usable integration key become dead letters. Lanes whose head such an agent has delivered get a new one. Retries
   * further away than any that we set are due at once: the wall clock was wrong then or is now.
   */
  adopt(now: number, retryMaxMs: number): void {
    this.#db.prepare("UPDATE event_items SET next_attempt_at = 1 WHERE next_attempt_at > ?").run(
      now + retryMaxMs,
    );
    const foreign = Number(
      this.#db.prepare("SELECT count(*) AS n FROM event_items WHERE behind IS NULL").get()?.n,
    );
    if (foreign > 0) {
      this.#addToLedger.run(foreign, 0, 0);
      const unusable =
        "behind IS NULL AND (trim(integration_key) = '' OR instr(integration_key, char(0)) > 0)";
      this.#db.prepare(
        `INSERT OR REPLACE INTO dead_letters (id, source, integration_key, alert_key, event_api_path, payload, reason,
           attempts, accepted_at, died_at)
         SELECT id, 'event', integration_key, alert_key, event_api_path,
           json_object('integrationKey', integration_key, 'eventType', event_type, 'summary', summary,
             'alertKey', alert_key, 'details', details, 'customDetails', custom_details),
           'the integration key is empty or unusable', 0, created_at, ?
         FROM event_items WHERE ${unusable}`,
      ).run(new Date(now).toISOString());
      this.#db.exec(`DELETE FROM event_items WHERE ${unusable}`);
    }
    if (foreign > 0 || this.#hasHeadlessLanes()) this.rebuildLanes();
  }

  /** Finds out anew which row is the head of its lane, for rows that are not known to be one. */
  rebuildLanes(): void {
    this.#db.exec(
      `UPDATE event_items SET behind = alert_key IS NOT NULL AND rowid >
         (SELECT min(first.rowid) FROM event_items AS first
          WHERE first.integration_key = event_items.integration_key AND first.alert_key = event_items.alert_key)
       WHERE behind IS NULL OR behind = 1`,
    );
  }

  /** Only a file that lost rows without our knowing can have such lanes, so only there the search is worth its time. */
  #hasHeadlessLanes(): boolean {
    const { accepted, delivered, purged } = this.ledger();
    const { queued, dead } = this.counts();
    return accepted - delivered - purged > queued + dead;
  }

  *#keysAfter(start: string): Iterable<string> {
    for (let key = this.keyAfter(start); key !== null; key = this.keyAfter(key)) yield key;
  }

  *#keysUpTo(end: string): Iterable<string> {
    for (const key of this.#keysAfter("")) {
      if (key > end) return;
      yield key;
    }
  }

  #nextHeadOf(key: string, taken: ReadonlySet<string>): QueuedEvent | null {
    const start = { nextAttemptAt: 0, rowid: 0 };
    for (const from of [this.#rotationPlaces.get(key) ?? start, start]) {
      for (const row of this.#headsAfter.all(key, from.nextAttemptAt, from.rowid, 1 + taken.size) as Row[]) {
        if (taken.has(String(row.id))) continue;
        this.#rotationPlaces.set(key, {
          nextAttemptAt: Number(row.next_attempt_at),
          rowid: Number(row.rowid),
        });
        return queuedEvent(row);
      }
    }
    return null;
  }
}

export function readLedger(db: DatabaseSync): Ledger {
  const row = db.prepare("SELECT accepted, delivered, purged FROM ledger").get();
  return { accepted: Number(row?.accepted), delivered: Number(row?.delivered), purged: Number(row?.purged) };
}

export function countRows(db: DatabaseSync): RowCounts {
  const row = db.prepare(
    `SELECT (SELECT count(*) FROM event_items) + (SELECT count(*) FROM mqtt_queue) +
         (SELECT count(*) FROM edge_items) AS queued,
       (SELECT count(*) FROM dead_letters) AS dead`,
  ).get();
  return { queued: Number(row?.queued), dead: Number(row?.dead) };
}

function untaken(rows: Iterable<unknown>, taken: ReadonlySet<string>, limit: number): QueuedEvent[] {
  const events: QueuedEvent[] = [];
  for (const row of rows as Iterable<Row>) {
    if (taken.has(String(row.id))) continue;
    events.push(queuedEvent(row));
    if (events.length >= limit) break;
  }
  return events;
}

function queuedEvent(row: Row): QueuedEvent {
  const event: AlertEvent = {
    integrationKey: String(row.integration_key),
    eventType: row.event_type as EventType,
    summary: String(row.summary),
    alertKey: row.alert_key as string | null,
    details: row.details as string | null,
    priority: row.priority as Priority | null,
    severity: row.severity as number | null,
    images: fromJsonText(row.images) as AlertEvent["images"],
    links: fromJsonText(row.links) as AlertEvent["links"],
    customDetails: fromJsonText(row.custom_details) ?? undefined,
    routingKey: row.routing_key as string | null,
    labels: fromJsonText(row.labels) as AlertEvent["labels"],
    services: fromJsonText(row.services) as AlertEvent["services"],
  };
  return {
    id: String(row.id),
    event,
    apiPath: row.event_api_path as string | null,
    attempts: Number(row.attempts),
    acceptedAt: acceptedAtOf(row.created_at),
  };
}

/** Ours is ISO 8601, the Rust agent's `2026-05-04 10:00:00.123456789 UTC`. */
export function acceptedAtOf(createdAt: Row[string] | undefined): number {
  const at = Date.parse(
    String(createdAt).replace(" UTC", "Z").replace(" ", "T").replace(/(\.\d{3})\d+/, "$1"),
  );
  return Number.isNaN(at) ? 0 : at;
}

function jsonText(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/** Null where another program left something that is not JSON, as the Rust agent reads it too. */
function fromJsonText(text: Row[string] | undefined): unknown {
  if (typeof text !== "string") return null;
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
