import { setImmediate } from "node:timers";
import type { Clock } from "../../src/runtime/clock.ts";

interface Timer {
  at: number;
  callback: () => void;
}

/** Time that moves only when told to; between two timers the real event loop gets its turns. */
export class FakeClock implements Clock {
  #now: number;
  #setBy = 0;
  readonly #timers = new Set<Timer>();

  constructor(now = Date.parse("2026-05-04T10:00:00Z")) {
    this.#now = now;
  }

  now(): number {
    return this.#now + this.#setBy;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Sets the wall clock as an operator or NTP would; time that passes is not affected. */
  jump(byMs: number): void {
    this.#setBy += byMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves time on, firing what falls due in its order; before each step what is under way comes to rest. */
  async advance(ms: number, isAtRest: () => boolean = () => true): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await rest(isAtRest);
      const next = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
  }
}

/** A message, a promise and what they set going take a few turns. */
const QUIET_TURNS = 4;

async function rest(isAtRest: () => boolean): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet = isAtRest() ? quiet + 1 : 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
