/**
 * What a transaction does to rows, lanes and sums at once. Called inside of it; then `committed()` or `rolledBack()`
 * says whether it stands.
 */

import type { DatabaseSync } from "node:sqlite";
import type { AlertEvent } from "../domain/event.ts";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import { readHeads } from "./adoption.ts";
import type { StoredEvent } from "./event_columns.ts";
import { EventRows } from "./event_rows.ts";
import { countRows, readLedger } from "./file_figures.ts";
import { LiveLanes } from "./live_lanes.ts";
import type { Counted } from "./message_store.ts";
import type { QueuedEvent, Settlement } from "./queue.ts";

/** What one transaction changes. */
type Delta = Required<Counted> & { followers: number };

const NO_DELTA: Readonly<Delta> = { accepted: 0, delivered: 0, purged: 0, queued: 0, dead: 0, followers: 0 };
const COUNTED_NAMES = ["accepted", "delivered", "purged", "queued", "dead"] as const;

export class Changes {
  readonly #db: DatabaseSync;
  readonly #rows: EventRows;
  readonly #lanes = new LiveLanes();
  #ledger: Ledger;
  #counts: RowCounts;
  /** Queued events that are not the heads of their lanes. */
  #followers = 0;
  #delta: Delta = { ...NO_DELTA };

  /** To be followed by `readAnew()`. */
  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#rows = new EventRows(db);
    this.#ledger = readLedger(db);
    this.#counts = countRows(db);
  }

  get ledger(): Readonly<Ledger> {
    return this.#ledger;
  }

  get counts(): Readonly<RowCounts> {
    return this.#counts;
  }

  /** Of this transaction. */
  get accepted(): number {
    return this.#delta.accepted;
  }

  /** A new event. Where it lies as the head of its lane; null where it follows another. */
  insert(queued: QueuedEvent): StoredEvent | null {
    this.#delta.accepted++;
    this.#delta.queued++;
    return this.place(queued);
  }

  /** An event that is counted already. */
  place(queued: QueuedEvent): StoredEvent | null {
    const { integrationKey, alertKey } = queued.event;
    const isHead = alertKey === null || this.#lanes.enter(integrationKey, alertKey);
    const rowid = this.#rows.insert(queued, !isHead, queued.acceptedAt);
    if (isHead) return { rowid, queued };
    this.#delta.followers++;
    return null;
  }

  /** What else the transaction holds. */
  count(counted: Counted): void {
    for (const name of COUNTED_NAMES) this.#delta[name] += counted[name] ?? 0;
  }

  /** The new head of the lane. An event that an operator has removed meanwhile is settled already, and counted. */
  settle(claimed: QueuedEvent, settlement: Settlement, now: number): StoredEvent | null {
    switch (settlement.kind) {
      case "delivered": {
        if (!this.#rows.remove(claimed.id)) return null;
        this.#delta.delivered++;
        this.#delta.queued--;
        return this.#advance(claimed.event);
      }
      case "waiting":
        this.#rows.wait(claimed.id, settlement);
        return null;
      case "dead": {
        if (!this.#rows.bury(claimed, settlement, now)) return null;
        this.#delta.queued--;
        this.#delta.dead++;
        return this.#advance(claimed.event);
      }
    }
  }

  /** Moves all retries, as the wall clock was moved. */
  postpone(byMs: number): void {
    this.#rows.postpone(byMs);
  }

  writeLedger(): void {
    const { accepted, delivered, purged } = this.#delta;
    this.#rows.addToLedger(accepted, delivered, purged);
  }

  /** Answers how many rows came or went. */
  committed(): number {
    const { accepted, delivered, purged, queued, dead, followers } = this.#delta;
    this.#ledger.accepted += accepted;
    this.#ledger.delivered += delivered;
    this.#ledger.purged += purged;
    this.#counts.queued += queued;
    this.#counts.dead += dead;
    this.#followers += followers;
    this.#delta = { ...NO_DELTA };
    this.#lanes.committed();
    return accepted + delivered + purged;
  }

  rolledBack(): void {
    this.#delta = { ...NO_DELTA };
    this.#lanes.rolledBack();
  }

  /** Another process has changed the sums. */
  recount(): void {
    this.#ledger = readLedger(this.#db);
    this.#counts = countRows(this.#db);
  }

  /** Another process may have removed or added any row: tells all fresh heads anew. */
  readAnew(onFresh: (integrationKey: string, rowid: number) => void): void {
    this.#delta.followers = 0;
    this.#followers = readHeads(this.#db, this.#lanes, onFresh);
  }

  #advance({ integrationKey, alertKey }: AlertEvent): StoredEvent | null {
    if (alertKey === null) return null;
    const hasFollowers = this.#followers + this.#delta.followers > 0;
    const next = hasFollowers ? this.#rows.promote(integrationKey, alertKey) : null;
    if (next === null) this.#lanes.leave(integrationKey, alertKey);
    else this.#delta.followers--;
    return next;
  }
}
