/** Which head is sent next. Those that come first are buffered, with their payload. */

import type { Clock } from "../runtime/clock.ts";
import type { StoredEvent } from "./event_columns.ts";
import { HeadPlaces } from "./head_places.ts";
import { FIRST_PLACE, type HeadRows } from "./head_rows.ts";
import { Probes } from "./probes.ts";
import type { QueuedEvent } from "./queue.ts";

/** Claimable events kept in memory, with their payload of at most 16 kB each. */
const BUFFERED_EVENTS_MAX = 512;
/** Due retries, and new events, read for one integration key before the next key has its turn. */
const ROWS_PER_KEY = 128;
/** More keys than this wait for their turn in the rotation of probes. */
const ARRIVED_KEYS_MAX = 1_000;

type Predicate = (integrationKey: string) => boolean;

export class Heads {
  readonly #rows: HeadRows;
  readonly #places: HeadPlaces;
  readonly #probes: Probes;
  readonly #clock: Clock;
  #buffer: QueuedEvent[] = [];
  /** Whether there may be claimable heads that are not in the buffer. */
  #unread = true;
  #nextDue: number | null = null;
  #lastDueKey = "";
  /** Integration keys of new heads since the last probe. */
  readonly #arrivedKeys = new Set<string>();
  /** The one that goes to the end of its line when it is given back. */
  #probe: string | null = null;

  constructor(rows: HeadRows, clock: Clock) {
    this.#rows = rows;
    this.#places = new HeadPlaces(rows);
    this.#probes = new Probes(this.#places, rows);
    this.#clock = clock;
  }

  get nextDue(): number | null {
    return this.#nextDue;
  }

  /** A fresh head of the file. */
  add(integrationKey: string, rowid: number): void {
    this.#places.add(integrationKey, rowid);
  }

  /** A new head that is written, but not durable yet. */
  take(head: StoredEvent): void {
    this.#places.take(head, false);
  }

  /** It is durable. Buffers it, unless others wait: those go first. */
  offer(head: QueuedEvent): void {
    if (this.#arrivedKeys.size < ARRIVED_KEYS_MAX) this.#arrivedKeys.add(head.event.integrationKey);
    if (this.#unread || this.#buffer.length >= BUFFERED_EVENTS_MAX) {
      this.#unread = true;
      this.#places.giveBack(head, false);
    } else {
      this.#buffer.push(head);
    }
  }

  /** It was not written, is settled, or waits for a retry from now on. */
  forget(id: string): void {
    this.#places.forget(id);
  }

  expect(retryAt: number): void {
    this.#nextDue = Math.min(this.#nextDue ?? Infinity, retryAt);
  }

  /** As if it had not been claimed. */
  release(claimed: QueuedEvent): void {
    this.#places.giveBack(claimed, claimed.id === this.#probe);
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
        this.#places.giveBack(next, false);
      } else {
        return next;
      }
    }
  }

  claimProbe(isPaused: Predicate, failedKeys: ReadonlySet<string>): QueuedEvent | null {
    this.#returnBuffer();
    this.#arrivedKeys.clear();
    const probe = this.#probes.any((key) => !isPaused(key) && !failedKeys.has(key)) ??
      this.#probes.inTurn((key) => !isPaused(key));
    this.#probe = probe?.id ?? null;
    return probe;
  }

  claimUntried(isPaused: Predicate, failedKeys: ReadonlySet<string>): QueuedEvent | null {
    for (const key of this.#arrivedKeys) {
      this.#arrivedKeys.delete(key);
      if (failedKeys.has(key) || isPaused(key)) continue;
      this.#returnBuffer();
      const head = this.#probes.ofKey(key);
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

  /** Before all fresh heads of the file are told by `addAnew()`. */
  restart(): void {
    this.#returnBuffer();
    this.#places.clearLines();
  }

  addAnew(integrationKey: string, rowid: number): void {
    this.#places.addAnew(integrationKey, rowid);
  }

  #returnBuffer(): void {
    for (const event of this.#buffer.reverse()) this.#places.giveBack(event, false);
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
    for (const head of this.#places.waitingHeads(key, now, FIRST_PLACE, ROWS_PER_KEY)) {
      if (count++ === ROWS_PER_KEY) return false;
      this.#buffer.push(this.#places.take(head, true));
    }
    return true;
  }

  /** False where more are in line. */
  #bufferFresh(isPaused: Predicate): boolean {
    const full = this.#buffer.length + ROWS_PER_KEY;
    let isAll = true;
    let turns = this.#places.linesCount;
    for (const key of this.#places.keysInLine) {
      // Those that had their turn went to the end.
      if (turns-- === 0) break;
      if (isPaused(key)) continue;
      if (this.#buffer.length >= full) return false;
      for (let count = 0; count < ROWS_PER_KEY; count++) {
        const head = this.#places.nextFresh(key);
        if (head === null) break;
        this.#buffer.push(head);
      }
      if (this.#places.endTurn(key)) isAll = false;
    }
    return isAll;
  }
}
