/**
 * Which head is sent next. A head is in one place at a time:
 *
 *   arriving ── durable ──▶ fresh: its rowid in line ──▶ buffered ── claim ──▶ sending
 *                              ▲                                                  │
 *                              ├───────────────── release ────────────────────────┤
 *                              │              waiting: found in the file ◀────────┘ settled as such
 *
 * Payloads are in the file, except those of the buffer. What is arriving, buffered or sending is `taken`.
 */

import type { Clock } from "../runtime/clock.ts";
import type { StoredEvent } from "./event_columns.ts";
import { FIRST_PLACE, type HeadRows, type Place, type WaitingHead } from "./head_rows.ts";
import type { QueuedEvent } from "./queue.ts";
import { RowidLine } from "./rowid_line.ts";

/** Claimable events kept in memory, with their payload of at most 16 kB each. */
const BUFFERED_EVENTS_MAX = 512;
/** Due retries, and new events, read for one integration key before the next key has its turn. */
const ROWS_PER_KEY = 128;
/** Retries read at once where one is looked for. */
const ROWS_PER_SEARCH = 8;
/** More keys than this wait for their turn in the rotation of probes. */
const ARRIVED_KEYS_MAX = 1_000;

interface Taken {
  rowid: number;
  /** Its row waits for a retry: it is found there again, and has no place in a line. */
  isWaiting: boolean;
}

/** How far the rotation of probes is within one integration key: first its fresh heads, then its waiting ones. */
interface Round {
  freshLeft: number;
  place: Place;
}

type Predicate = (integrationKey: string) => boolean;

export class Heads {
  readonly #rows: HeadRows;
  readonly #clock: Clock;
  /** By id. */
  readonly #taken = new Map<string, Taken>();
  /** Fresh heads by integration key; the key whose turn is next comes first. */
  readonly #lines = new Map<string, RowidLine>();
  #buffer: QueuedEvent[] = [];
  /** Whether there may be claimable heads that are not in the buffer. */
  #unread = true;
  #nextDue: number | null = null;
  #lastDueKey = "";
  /** Integration keys of new heads since the last probe. */
  readonly #arrivedKeys = new Set<string>();
  #probedKey = "";
  readonly #rounds = new Map<string, Round>();
  /** The one that goes to the end of its line when it is given back. */
  #probe: string | null = null;

  constructor(rows: HeadRows, clock: Clock) {
    this.#rows = rows;
    this.#clock = clock;
  }

  get nextDue(): number | null {
    return this.#nextDue;
  }

  /** A new head that is written, but not durable yet. */
  take({ rowid, queued }: StoredEvent): void {
    this.#taken.set(queued.id, { rowid, isWaiting: false });
  }

  /** It is durable. Buffers it, unless others wait: those go first. */
  offer(head: QueuedEvent): void {
    if (this.#arrivedKeys.size < ARRIVED_KEYS_MAX) this.#arrivedKeys.add(head.event.integrationKey);
    if (this.#unread || this.#buffer.length >= BUFFERED_EVENTS_MAX) {
      this.#unread = true;
      this.#line(head);
    } else {
      this.#buffer.push(head);
    }
  }

  /** It was not written, is settled, or waits for a retry from now on. */
  forget(id: string): void {
    this.#taken.delete(id);
  }

  expect(retryAt: number): void {
    this.#nextDue = Math.min(this.#nextDue ?? Infinity, retryAt);
  }

  /** As if it had not been claimed. */
  release(claimed: QueuedEvent): void {
    this.#line(claimed, claimed.id === this.#probe);
    this.#unread = true;
  }

  claim(isPaused: Predicate): QueuedEvent | null {
    for (;;) {
      const next = this.#buffer.shift();
      if (next === undefined) {
        if (!this.#unread) return null;
        this.#refill(isPaused);
        if (this.#buffer.length === 0) return null;
      } else if (isPaused(next.event.integrationKey)) {
        // Whoever ends the pause calls rescan().
        this.#line(next);
      } else {
        return next;
      }
    }
  }

  claimProbe(isPaused: Predicate, failedKeys: ReadonlySet<string>): QueuedEvent | null {
    this.#returnBuffer();
    this.#arrivedKeys.clear();
    const probe = this.#headOfAny((key) => !isPaused(key) && !failedKeys.has(key)) ??
      this.#rotate((key) => !isPaused(key));
    this.#probe = probe?.id ?? null;
    return probe;
  }

  claimUntried(isPaused: Predicate, failedKeys: ReadonlySet<string>): QueuedEvent | null {
    for (const key of this.#arrivedKeys) {
      this.#arrivedKeys.delete(key);
      if (failedKeys.has(key) || isPaused(key)) continue;
      this.#returnBuffer();
      const head = this.#headOf(key);
      if (head === null) continue;
      this.#probe = head.id;
      return head;
    }
    return null;
  }

  /** Looks everywhere again at the next claim: a retry is due, or a pause is over. */
  rescan(): void {
    this.#unread = true;
    this.#nextDue = this.#rows.nextDueAfter(this.#clock.now());
  }

  /** Before all heads of the file are added anew. Answers with the rowids that are taken and must not be added. */
  restart(): ReadonlySet<number> {
    this.#returnBuffer();
    this.#lines.clear();
    return new Set([...this.#taken.values()].map(({ rowid }) => rowid));
  }

  /** A fresh head of the file. */
  add(integrationKey: string, rowid: number): void {
    this.#lineOf(integrationKey).push(rowid);
  }

  /** Into its line, by age, unless its row waits for a retry. */
  #line({ id, event }: QueuedEvent, isLast = false): void {
    const taken = this.#taken.get(id);
    this.#taken.delete(id);
    if (taken === undefined || taken.isWaiting) return;
    const line = this.#lineOf(event.integrationKey);
    if (!isLast && taken.rowid < line.first) line.unshift(taken.rowid);
    else line.push(taken.rowid);
  }

  #lineOf(key: string): RowidLine {
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, line = new RowidLine());
    return line;
  }

  #returnBuffer(): void {
    for (const event of this.#buffer.reverse()) this.#line(event);
    this.#buffer = [];
    this.#unread = true;
  }

  /** Takes turns between integration keys, so that a flood on one does not hold back the others. */
  #refill(isPaused: Predicate): void {
    const isAllDue = this.#bufferDue(isPaused);
    const isAllFresh = this.#bufferFresh(isPaused);
    this.#unread = !isAllDue || !isAllFresh;
  }

  /** False where more may be due. */
  #bufferDue(isPaused: Predicate): boolean {
    const now = this.#clock.now();
    const firstAt = this.#rows.nextDueAfter(0);
    if (firstAt === null || firstAt > now) return true;
    const full = this.#buffer.length + ROWS_PER_KEY;
    const firstKey = this.#rows.keyAfter(this.#lastDueKey) ?? this.#rows.keyAfter("");
    let isAll = true;
    for (let key = firstKey; key !== null;) {
      if (!isPaused(key) && !this.#bufferDueOf(key, now)) isAll = false;
      this.#lastDueKey = key;
      key = this.#rows.keyAfter(key) ?? this.#rows.keyAfter("");
      if (key === firstKey) break;
      if (this.#buffer.length >= full) return false;
    }
    return isAll;
  }

  #bufferDueOf(key: string, now: number): boolean {
    let count = 0;
    for (const head of this.#waitingHeads(key, now, FIRST_PLACE, ROWS_PER_KEY)) {
      if (count++ === ROWS_PER_KEY) return false;
      this.#buffer.push(this.#taking(head, true));
    }
    return true;
  }

  /** False where more are in line. */
  #bufferFresh(isPaused: Predicate): boolean {
    const full = this.#buffer.length + ROWS_PER_KEY;
    let isAll = true;
    let turns = this.#lines.size;
    for (const key of this.#lines.keys()) {
      // Those that had their turn went to the end of the map.
      if (turns-- === 0) break;
      if (isPaused(key)) continue;
      if (this.#buffer.length >= full) return false;
      for (let count = 0; count < ROWS_PER_KEY; count++) {
        const head = this.#nextFresh(key);
        if (head === null) break;
        this.#buffer.push(head);
      }
      if (this.#endTurn(key)) isAll = false;
    }
    return isAll;
  }

  /** To the end of the turns; false where nothing is left in its line. */
  #endTurn(key: string): boolean {
    const line = this.#lineOf(key);
    this.#lines.delete(key);
    if (line.length === 0) return false;
    this.#lines.set(key, line);
    return true;
  }

  /** Takes the first in line. */
  #nextFresh(key: string): QueuedEvent | null {
    const line = this.#lines.get(key);
    for (let rowid = line?.shift(); rowid !== undefined; rowid = line?.shift()) {
      const head = this.#rows.fresh(rowid);
      // Gone, or another row by now: another process was here.
      if (head === null || this.#taken.has(head.queued.id)) continue;
      return this.#taking(head, false);
    }
    return null;
  }

  #taking({ rowid, queued }: StoredEvent, isWaiting: boolean): QueuedEvent {
    this.#taken.set(queued.id, { rowid, isWaiting });
    return queued;
  }

  /** Not taken, in the order of their retries. */
  *#waitingHeads(key: string, dueAt: number, place: Place, rowsAtOnce: number): Iterable<WaitingHead> {
    for (;;) {
      const heads = this.#rows.waiting(key, dueAt, place, rowsAtOnce);
      for (const head of heads) {
        place = head;
        if (!this.#taken.has(head.queued.id)) yield head;
      }
      if (heads.length < rowsAtOnce) return;
    }
  }

  #nextWaiting(key: string, place: Place): WaitingHead | null {
    for (const head of this.#waitingHeads(key, Number.MAX_SAFE_INTEGER, place, ROWS_PER_SEARCH)) return head;
    return null;
  }

  /** The first head, due or not, of an integration key that `admits`. */
  #headOfAny(admits: Predicate): QueuedEvent | null {
    for (const key of this.#lines.keys()) {
      const head = admits(key) ? this.#nextFresh(key) : null;
      if (head !== null) return head;
    }
    for (let key = this.#rows.keyAfter(""); key !== null; key = this.#rows.keyAfter(key)) {
      const head = admits(key) ? this.#headOf(key) : null;
      if (head !== null) return head;
    }
    return null;
  }

  #headOf(key: string): QueuedEvent | null {
    const fresh = this.#nextFresh(key);
    if (fresh !== null) return fresh;
    const waiting = this.#nextWaiting(key, FIRST_PLACE);
    return waiting === null ? null : this.#taking(waiting, true);
  }

  /** A head of the next admitted key in turn; within a key, each of its heads in turn. */
  #rotate(admits: Predicate): QueuedEvent | null {
    const first = this.#keyAfter(this.#probedKey, admits) ?? this.#keyAfter("", admits);
    for (let key = first; key !== null;) {
      this.#probedKey = key;
      const head = this.#nextOfRound(key) ?? this.#nextOfRound(key);
      if (head !== null) return head;
      key = this.#keyAfter(key, admits) ?? this.#keyAfter("", admits);
      if (key === first) break;
    }
    return null;
  }

  /** Null at the end of a round: the next call begins another. */
  #nextOfRound(key: string): QueuedEvent | null {
    const newRound = { freshLeft: this.#lines.get(key)?.length ?? 0, place: FIRST_PLACE };
    const round = this.#rounds.get(key) ?? newRound;
    this.#rounds.set(key, round);
    const fresh = round.freshLeft-- > 0 ? this.#nextFresh(key) : null;
    if (fresh !== null) return fresh;
    round.freshLeft = 0;
    const waiting = this.#nextWaiting(key, round.place);
    if (waiting === null) {
      this.#rounds.delete(key);
      return null;
    }
    round.place = waiting;
    return this.#taking(waiting, true);
  }

  /** The next admitted integration key that has a head, in their order; null after the last. */
  #keyAfter(key: string, admits: Predicate): string | null {
    let next = this.#rows.keyAfter(key);
    while (next !== null && !admits(next)) next = this.#rows.keyAfter(next);
    for (const [candidate, { length }] of this.#lines) {
      if (candidate <= key || length === 0 || next !== null && candidate >= next) continue;
      if (admits(candidate)) next = candidate;
    }
    return next;
  }
}
