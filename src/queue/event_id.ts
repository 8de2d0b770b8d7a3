/**
 * UUIDs of version 7 (RFC 9562, 5.7): they begin with the time and count within a millisecond, so that new ids sort
 * after old ones and the index of ids grows at one end. Counting is method 1 of 6.2.
 */

/** Ids that one call for random bytes serves. */
const POOLED_IDS = 256;
const RANDOM_BYTES_PER_ID = 8;
const COUNTER_MAX = 0xfff;
/** Where the count of a millisecond begins: random, with room for as many ids again. */
const COUNTER_START_MASK = 0x7ff;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export class EventIds {
  readonly #pool = new Uint8Array(POOLED_IDS * RANDOM_BYTES_PER_ID);
  #used = POOLED_IDS * RANDOM_BYTES_PER_ID;
  #at = -1;
  #counter = 0;
  /** The time, as the id begins. */
  #prefix = "";

  /** `now` in ms since the epoch; where the clock goes back, the ids do not. */
  next(now: number): string {
    const random = this.#random();
    const pool = this.#pool;
    if (now > this.#at) this.#begin(now, random);
    else if (this.#counter++ === COUNTER_MAX) this.#begin(this.#at + 1, random);
    const counter = this.#counter;
    return this.#prefix + HEX[0x70 | counter >>> 8] + HEX[counter & 0xff] + "-" +
      HEX[0x80 | pool[random]! & 0x3f] + HEX[pool[random + 1]!] + "-" +
      HEX[pool[random + 2]!] + HEX[pool[random + 3]!] + HEX[pool[random + 4]!] +
      HEX[pool[random + 5]!] + HEX[pool[random + 6]!] + HEX[pool[random + 7]!];
  }

  #begin(at: number, random: number): void {
    const time = at.toString(16).padStart(12, "0");
    this.#at = at;
    this.#prefix = `${time.slice(0, 8)}-${time.slice(8)}-`;
    this.#counter = (this.#pool[random + 6]! << 8 | this.#pool[random + 7]!) & COUNTER_START_MASK;
  }

  /** Where in the pool the next unused bytes begin. */
  #random(): number {
    if (this.#used === this.#pool.length) {
      crypto.getRandomValues(this.#pool);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += RANDOM_BYTES_PER_ID;
    return start;
  }
}
