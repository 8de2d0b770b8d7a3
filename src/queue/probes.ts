/** Which head the API is tried with during an outage: of a key that has not failed, else of each lane in turn. */

import { FIRST_PLACE, type HeadRows, type Place, type WaitingHead } from "./head_rows.ts";
import type { HeadPlaces } from "./head_places.ts";
import type { QueuedEvent } from "./queue.ts";

/** Retries read at once where one is looked for. */
const ROWS_PER_SEARCH = 8;

/** How far the rotation is within one integration key: first its fresh heads, then its waiting ones. */
interface Round {
  freshLeft: number;
  place: Place;
}

type Predicate = (integrationKey: string) => boolean;

export class Probes {
  readonly #places: HeadPlaces;
  readonly #rows: HeadRows;
  #lastKey = "";
  readonly #rounds = new Map<string, Round>();

  constructor(places: HeadPlaces, rows: HeadRows) {
    this.#places = places;
    this.#rows = rows;
  }

  /** A head, due or not, of any integration key that `admits`. */
  any(admits: Predicate): QueuedEvent | null {
    for (const key of this.#places.keysInLine) {
      const head = admits(key) ? this.#places.nextFresh(key) : null;
      if (head !== null) return head;
    }
    for (let key = this.#rows.keyAfter(""); key !== null; key = this.#rows.keyAfter(key)) {
      const head = admits(key) ? this.ofKey(key) : null;
      if (head !== null) return head;
    }
    return null;
  }

  ofKey(key: string): QueuedEvent | null {
    return this.#places.nextFresh(key) ?? this.#taking(this.#nextWaiting(key, FIRST_PLACE));
  }

  /** A head of the next admitted key in turn; within a key, each of its heads in turn. */
  inTurn(admits: Predicate): QueuedEvent | null {
    const first = this.#keyAfter(this.#lastKey, admits) ?? this.#keyAfter("", admits);
    for (let key = first; key !== null;) {
      this.#lastKey = key;
      const head = this.#nextOfRound(key) ?? this.#nextOfRound(key);
      if (head !== null) return head;
      key = this.#keyAfter(key, admits) ?? this.#keyAfter("", admits);
      if (key === first) break;
    }
    return null;
  }

  /** Null at the end of a round: the next call begins another. */
  #nextOfRound(key: string): QueuedEvent | null {
    const newRound = { freshLeft: this.#places.freshCount(key), place: FIRST_PLACE };
    const round = this.#rounds.get(key) ?? newRound;
    this.#rounds.set(key, round);
    const fresh = round.freshLeft-- > 0 ? this.#places.nextFresh(key) : null;
    if (fresh !== null) return fresh;
    round.freshLeft = 0;
    const waiting = this.#nextWaiting(key, round.place);
    if (waiting === null) this.#rounds.delete(key);
    else round.place = waiting;
    return this.#taking(waiting);
  }

  /** The next admitted integration key that has a head, in their order; null after the last. */
  #keyAfter(key: string, admits: Predicate): string | null {
    let next = this.#rows.keyAfter(key);
    while (next !== null && !admits(next)) next = this.#rows.keyAfter(next);
    for (const candidate of this.#places.keysInLine) {
      if (candidate <= key || next !== null && candidate >= next) continue;
      if (this.#places.freshCount(candidate) > 0 && admits(candidate)) next = candidate;
    }
    return next;
  }

  #nextWaiting(key: string, place: Place): WaitingHead | null {
    const heads = this.#places.waitingHeads(key, Number.MAX_SAFE_INTEGER, place, ROWS_PER_SEARCH);
    for (const head of heads) return head;
    return null;
  }

  #taking(head: WaitingHead | null): QueuedEvent | null {
    return head === null ? null : this.#places.take(head, true);
  }
}
