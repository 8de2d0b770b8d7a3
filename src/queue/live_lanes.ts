/**
 * Which lanes have a queued event: what tells, for each arriving event, whether it is the head of its lane.
 *
 * An index in the file would be written for each event and be looked up for each; here a lane is a fingerprint of 64
 * bits, 8 bytes of memory. Two live lanes with one fingerprint would let the event of one wait for the other's: with a
 * million live lanes that happens once in 10¹³ events, and `SqliteQueue.noticeChanges()` finds it. The fingerprints are
 * seeded, so that nobody can aim at it.
 */

const CAPACITY_MIN = 1_024;
/** Up to here the table doubles, beyond it grows by half: memory counts there. */
const DOUBLING_MAX = 65_536;
const FULL_AT = 0.75, SPARSE_AT = 0.125;
const TWO_TO_32 = 2 ** 32;

/** Two words of 32 bits; the lower one is never 0, which stands for an empty place. */
type Fingerprint = readonly [high: number, low: number];

export class LiveLanes {
  readonly #seeds = crypto.getRandomValues(new Uint32Array(2));
  /** A hash table with linear probing. */
  #high = new Uint32Array(CAPACITY_MIN);
  #low = new Uint32Array(CAPACITY_MIN);
  #count = 0;
  /** That came and went since the last commit. */
  #entered: Fingerprint[] = [];
  #left: Fingerprint[] = [];

  get size(): number {
    return this.#count;
  }

  /** False where the lane was live already. */
  enter(integrationKey: string, alertKey: string): boolean {
    const lane = this.#fingerprint(integrationKey, alertKey);
    if (!this.#add(lane)) return false;
    this.#entered.push(lane);
    return true;
  }

  /** Its last event is gone. */
  leave(integrationKey: string, alertKey: string): void {
    const lane = this.#fingerprint(integrationKey, alertKey);
    if (this.#delete(lane)) this.#left.push(lane);
  }

  /** What has changed since the last call stands. */
  committed(): void {
    if (this.#entered.length > 0) this.#entered = [];
    if (this.#left.length > 0) this.#left = [];
  }

  /** What has changed since the last commit never happened. */
  rolledBack(): void {
    for (const lane of this.#entered) this.#delete(lane);
    for (const lane of this.#left) this.#add(lane);
    this.committed();
  }

  /** Forgets all, before the lanes of the file are told by `found()`; of both a rollback takes nothing back. */
  clear(): void {
    // Other seeds: lanes that had one fingerprint have two from now on.
    crypto.getRandomValues(this.#seeds);
    this.#resize(CAPACITY_MIN, false);
  }

  /** As `enter()`, of an event that was in the file before. */
  found(integrationKey: string, alertKey: string): boolean {
    return this.#add(this.#fingerprint(integrationKey, alertKey));
  }

  #fingerprint(integrationKey: string, alertKey: string): Fingerprint {
    let high = this.#seeds[0]!, low = this.#seeds[1]!;
    for (let i = 0; i < integrationKey.length; i++) {
      const code = integrationKey.charCodeAt(i);
      high = Math.imul(high ^ code, 0x9e3779b1);
      low = Math.imul(low ^ code, 0x5f356495);
    }
    // No character: ("ab", "c") and ("a", "bc") are two lanes.
    high = Math.imul(high ^ 0x10000, 0x9e3779b1);
    low = Math.imul(low ^ 0x10000, 0x5f356495);
    for (let i = 0; i < alertKey.length; i++) {
      const code = alertKey.charCodeAt(i);
      high = Math.imul(high ^ high >>> 15 ^ code, 0x9e3779b1);
      low = Math.imul(low ^ low >>> 13 ^ code, 0x5f356495);
    }
    high = Math.imul(high ^ high >>> 16, 0x85ebca6b) ^ low >>> 11;
    low = Math.imul(low ^ low >>> 15, 0xc2b2ae35) ^ high >>> 13;
    high ^= high >>> 16;
    low ^= low >>> 16;
    return [high >>> 0, Math.max(1, low >>> 0)];
  }

  #add(lane: Fingerprint): boolean {
    if (this.#count >= this.#high.length * FULL_AT) {
      const capacity = this.#high.length;
      this.#resize(capacity < DOUBLING_MAX ? capacity * 2 : Math.ceil(capacity * 1.5), true);
    }
    const place = this.#placeOf(lane);
    if (this.#low[place] !== 0) return false;
    [this.#high[place], this.#low[place]] = lane;
    this.#count++;
    return true;
  }

  #delete(lane: Fingerprint): boolean {
    const high = this.#high, low = this.#low;
    let hole = this.#placeOf(lane);
    if (low[hole] === 0) return false;
    this.#count--;
    for (let next = this.#after(hole); low[next] !== 0; next = this.#after(next)) {
      const home = this.#homeOf(high[next]!);
      const isReached = hole <= next ? hole < home && home <= next : hole < home || home <= next;
      if (isReached) continue;
      high[hole] = high[next]!;
      low[hole] = low[next]!;
      hole = next;
    }
    low[hole] = 0;
    if (high.length > CAPACITY_MIN && this.#count < high.length * SPARSE_AT) {
      this.#resize(Math.max(CAPACITY_MIN, Math.ceil(high.length / 4)), true);
    }
    return true;
  }

  /** Where it is, or where it would go. */
  #placeOf([high, low]: Fingerprint): number {
    let place = this.#homeOf(high);
    while (this.#low[place] !== 0 && (this.#low[place] !== low || this.#high[place] !== high)) {
      place = this.#after(place);
    }
    return place;
  }

  #homeOf(high: number): number {
    return Math.floor(high / TWO_TO_32 * this.#high.length);
  }

  #after(place: number): number {
    return place + 1 === this.#high.length ? 0 : place + 1;
  }

  #resize(capacity: number, keepsLanes: boolean): void {
    const high = this.#high, low = this.#low;
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
    this.#count = 0;
    if (!keepsLanes) return;
    for (let place = 0; place < high.length; place++) {
      if (low[place] !== 0) this.#add([high[place]!, low[place]!]);
    }
  }
}
