/** Warnings about things that may come by the thousand: the first of a minute in full, the others as their number. */

import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";

const WARNINGS_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

export class LimitedWarnings {
  readonly #log: Log;
  readonly #clock: Clock;
  #since = -Infinity;
  #count = 0;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(message: string, properties: Record<string, unknown>): void {
    const now = this.#clock.monotonic();
    if (now - this.#since >= MINUTE_MS) this.#nextMinute(now);
    if (++this.#count <= WARNINGS_PER_MINUTE) this.#log.warn(message, properties);
  }

  #nextMinute(now: number): void {
    const untold = this.#count - WARNINGS_PER_MINUTE;
    if (untold > 0) this.#log.warn("{count} more such warnings were left out", { count: untold });
    this.#since = now;
    this.#count = 0;
  }
}
