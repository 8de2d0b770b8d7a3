/** What the file says about itself and its sums. Writes nothing. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Ledger, RowCounts } from "../domain/ledger.ts";
import { acceptedAtOf } from "./event_columns.ts";

export class FileFigures {
  readonly #dataVersion: StatementSync;
  readonly #pageCount: StatementSync;
  readonly #freePages: StatementSync;
  readonly #oldest: StatementSync;
  readonly #isOldestBehind: StatementSync;
  readonly #pageSize: number;

  constructor(db: DatabaseSync) {
    this.#dataVersion = db.prepare("PRAGMA data_version");
    this.#pageCount = db.prepare("PRAGMA page_count");
    this.#freePages = db.prepare("PRAGMA freelist_count");
    this.#oldest = db.prepare("SELECT created_at FROM event_items ORDER BY rowid LIMIT 1");
    this.#isOldestBehind = db.prepare("SELECT behind FROM event_items ORDER BY rowid LIMIT 1");
    this.#pageSize = Number(db.prepare("PRAGMA page_size").get()?.page_size);
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
    return row === undefined ? null : acceptedAtOf(row.created_at);
  }

  /** The oldest event follows none: it could only wait for an event of another lane. */
  isOldestBehind(): boolean {
    return this.#isOldestBehind.get()?.behind === 1;
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
