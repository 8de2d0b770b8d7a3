/** What a queue is, in its simplest form: lists of events, first in, first out, one per lane. */

import assert from "node:assert/strict";

export type Ending = "delivered" | "waiting" | "dead";

export interface Entry {
  /** Its summary: what tells it from all others. */
  readonly name: string;
  readonly key: string;
  /** Null: it has no order with any other. */
  readonly alertKey: string | null;
  /** Acknowledged to its sender. */
  isStored: boolean;
  isClaimed: boolean;
  /** Settled, but not confirmed yet. */
  isSettling: boolean;
  attempts: number;
  /** ms since the epoch; 0 where it waits for nothing. */
  nextAttemptAt: number;
}

export class QueueModel {
  accepted = 0;
  delivered = 0;
  readonly dead = new Set<string>();
  readonly #lanes = new Map<string, Entry[]>();
  #entries = 0;

  /** In the order of their enqueueing within each lane. */
  get entries(): Entry[] {
    return [...this.#lanes.values()].flat();
  }

  get claimed(): Entry[] {
    return this.entries.filter(({ isClaimed, isSettling }) => isClaimed && !isSettling);
  }

  get size(): number {
    return this.entries.length;
  }

  /** A new event, not yet acknowledged. */
  arrive(key: string, alertKey: string | null): Entry {
    const name = `event-${++this.#entries}`;
    const fresh = { isStored: false, isClaimed: false, isSettling: false, attempts: 0, nextAttemptAt: 0 };
    const entry: Entry = { name, key, alertKey, ...fresh };
    const lane = this.#laneOf(entry);
    this.#lanes.set(lane, [...this.#lanes.get(lane) ?? [], entry]);
    return entry;
  }

  store(entry: Entry): void {
    entry.isStored = true;
    this.accepted++;
  }

  settle(entry: Entry, ending: Ending, nextAttemptAt: number): void {
    entry.isClaimed = entry.isSettling = false;
    switch (ending) {
      case "delivered":
        this.delivered++;
        return this.forget(entry);
      case "dead":
        this.dead.add(entry.name);
        return this.forget(entry);
      case "waiting":
        entry.attempts++;
        entry.nextAttemptAt = nextAttemptAt;
    }
  }

  /** It was never stored, or is over. */
  forget(entry: Entry): void {
    const lane = this.#laneOf(entry);
    const rest = (this.#lanes.get(lane) ?? []).filter((other) => other !== entry);
    if (rest.length === 0) this.#lanes.delete(lane);
    else this.#lanes.set(lane, rest);
  }

  postpone(byMs: number): void {
    for (const entry of this.entries) {
      if (entry.nextAttemptAt > 0) entry.nextAttemptAt = Math.max(1, entry.nextAttemptAt + byMs);
    }
  }

  /** After a restart nobody has claimed anything. */
  restart(): void {
    for (const entry of this.entries) entry.isClaimed = entry.isSettling = false;
  }

  /** Throws where the queue must not hand this event out now. */
  claim(name: string, isPaused: (key: string) => boolean, now: number, isProbe: boolean): Entry {
    const entry = this.entries.find((other) => other.name === name);
    assert.ok(entry !== undefined, `${name} was claimed and is not in the queue`);
    const head = this.#lanes.get(this.#laneOf(entry))?.[0];
    assert.equal(name, head?.name, `${name} was claimed before ${head?.name} of its lane`);
    assert.ok(entry.isStored, `${name} was claimed before it was acknowledged`);
    assert.ok(!entry.isClaimed, `${name} was claimed twice`);
    assert.ok(!isPaused(entry.key), `${name} was claimed although its key is paused`);
    assert.ok(isProbe || entry.nextAttemptAt <= now, `${name} was claimed before it was due`);
    entry.isClaimed = true;
    return entry;
  }

  /** All that may be claimed now; with `isProbe` also what is not due. */
  claimable(isPaused: (key: string) => boolean, now: number, isProbe = false): Entry[] {
    return [...this.#lanes.values()].flatMap(([head]) =>
      head !== undefined && head.isStored && !head.isClaimed && !isPaused(head.key) &&
        (isProbe || head.nextAttemptAt <= now)
        ? [head]
        : []
    );
  }

  nextDueAfter(now: number): number | null {
    const due = this.entries.map(({ nextAttemptAt }) => nextAttemptAt).filter((at) => at > now);
    return due.length === 0 ? null : Math.min(...due);
  }

  #laneOf({ name, key, alertKey }: Entry): string {
    return alertKey === null ? `alone ${name}` : `${key} ${alertKey}`;
  }
}
