/**
 * Where each head is. It is in one place at a time:
 *
 *   arriving ── durable ──▶ fresh: its rowid in line ──▶ buffered ── claim ──▶ sending
 *                              ▲                                                  │
 *                              ├───────────────── release ────────────────────────┤
 *                              │              waiting: found in the file ◀────────┘ settled as such
 *
 * What is arriving, buffered or sending is `taken`. Memory has a rowid for each head in line; payloads are in the file.
 */

import type { StoredEvent } from "./event_columns.ts";
import type { HeadRows, Place, WaitingHead } from "./head_rows.ts";
import type { QueuedEvent } from "./queue.ts";
import { RowidLine } from "./rowid_line.ts";

interface Taken {
  rowid: number;
  /** Its row waits for a retry: it is found there again, and has no place in a line. */
  isWaiting: boolean;
}

export class HeadPlaces {
  readonly #rows: HeadRows;
  /** By id. */
  readonly #taken = new Map<string, Taken>();
  /** Fresh heads by integration key; the key whose turn is next comes first. */
  readonly #lines = new Map<string, RowidLine>();
  /** Of those that were taken when the file was read anew. */
  #takenRowids: ReadonlySet<number> = new Set();

  constructor(rows: HeadRows) {
    this.#rows = rows;
  }

  /** Integration keys with a line, in the order of their turns. */
  get keysInLine(): Iterable<string> {
    return this.#lines.keys();
  }

  get linesCount(): number {
    return this.#lines.size;
  }

  freshCount(key: string): number {
    return this.#lines.get(key)?.length ?? 0;
  }

  /** A fresh head of the file. */
  add(integrationKey: string, rowid: number): void {
    this.#lineOf(integrationKey).push(rowid);
  }

  take({ rowid, queued }: StoredEvent, isWaiting: boolean): QueuedEvent {
    this.#taken.set(queued.id, { rowid, isWaiting });
    return queued;
  }

  /** It has no place any more. */
  forget(id: string): void {
    this.#taken.delete(id);
  }

  /** Into its line, by age or at its end, unless its row waits for a retry. */
  giveBack({ id, event }: QueuedEvent, isLast: boolean): void {
    const taken = this.#taken.get(id);
    this.#taken.delete(id);
    if (taken === undefined || taken.isWaiting) return;
    const line = this.#lineOf(event.integrationKey);
    if (!isLast && taken.rowid < line.first) line.unshift(taken.rowid);
    else line.push(taken.rowid);
  }

  /** Takes the first in line. */
  nextFresh(key: string): QueuedEvent | null {
    const line = this.#lines.get(key);
    for (let rowid = line?.shift(); rowid !== undefined; rowid = line?.shift()) {
      const head = this.#rows.fresh(rowid);
      // Gone, or another row by now: another process was here.
      if (head === null || this.#taken.has(head.queued.id)) continue;
      return this.take(head, false);
    }
    return null;
  }

  /** To the end of the turns; false where nothing is left in its line. */
  endTurn(key: string): boolean {
    const line = this.#lineOf(key);
    this.#lines.delete(key);
    if (line.length === 0) return false;
    this.#lines.set(key, line);
    return true;
  }

  /** Not taken, due at `dueAt` or before, in the order of their retries. */
  *waitingHeads(key: string, dueAt: number, place: Place, rowsAtOnce: number): Iterable<WaitingHead> {
    for (;;) {
      const heads = this.#rows.waiting(key, dueAt, place, rowsAtOnce);
      for (const head of heads) {
        place = head;
        if (!this.#taken.has(head.queued.id)) yield head;
      }
      if (heads.length < rowsAtOnce) return;
    }
  }

  /** Before all fresh heads of the file are told by `addAnew()`. */
  clearLines(): void {
    this.#lines.clear();
    this.#takenRowids = new Set([...this.#taken.values()].map(({ rowid }) => rowid));
  }

  /** One that is taken has no place in a line, but may have been made due at once; or its row is another event's by now. */
  addAnew(integrationKey: string, rowid: number): void {
    const head = this.#takenRowids.has(rowid) ? this.#rows.fresh(rowid) : null;
    const taken = head === null ? undefined : this.#taken.get(head.queued.id);
    if (taken === undefined) this.add(integrationKey, rowid);
    else taken.isWaiting = false;
  }

  #lineOf(key: string): RowidLine {
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, line = new RowidLine());
    return line;
  }
}
