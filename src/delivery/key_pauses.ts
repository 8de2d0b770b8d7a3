/**
 * Integration keys that ilert told to slow down.
 *
 *   free ── 429 ──▶ paused ── its time is over ──▶ probing ── successes ──▶ free
 *                     ▲                               │
 *                     └───────────── 429 ─────────────┘
 *
 * A 429 stops its key, at least until Retry-After, and nobody else. Then one event goes ahead alone, and each success
 * lets one more be in flight (TCP's slow start), so that a backlog does not run into the same limit at full width again.
 */

import { backoffBoundMs } from "../domain/retry_policy.ts";

interface Limit {
  /** End of the pause, by the monotonic clock. */
  until: number;
  /** Whether `ended()` has told of it. */
  isOver: boolean;
  /** Pauses without a success in between. */
  strikes: number;
  /** How many may be in flight once the pause is over. */
  width: number;
  readonly inFlight: Set<string>;
}

export interface PauseConfig {
  baseMs: number;
  capMs: number;
  /** At this width a key counts as free again. */
  widthMax: number;
}

export class KeyPauses {
  readonly #limits = new Map<string, Limit>();
  readonly #config: PauseConfig;

  constructor(config: PauseConfig) {
    this.#config = config;
  }

  /** How many keys may not send now because their pause is not over. */
  pausedCount(now: number): number {
    return [...this.#limits.values()].filter(({ until }) => now < until).length;
  }

  isPaused(key: string, now: number): boolean {
    const limit = this.#limits.get(key);
    return limit !== undefined && (now < limit.until || limit.inFlight.size >= limit.width);
  }

  /** An event of this key leaves. */
  departed(key: string, eventId: string): void {
    this.#limits.get(key)?.inFlight.add(eventId);
  }

  /**
   * A 429 arrived: the key pauses longer each time, and at least for `retryAfterMs`. `isFirst` tells the answer that
   * began the pause from those to events that were already on their way. All times are of the monotonic clock.
   */
  paused(
    key: string,
    eventId: string,
    retryAfterMs: number | null,
    now: number,
    random: () => number,
  ): { pauseMs: number; isFirst: boolean } {
    const fresh = { until: now, isOver: true, strikes: 0, width: 1, inFlight: new Set<string>() };
    const limit = this.#limits.get(key) ?? fresh;
    this.#limits.set(key, limit);
    limit.inFlight.delete(eventId);
    const isFirst = now >= limit.until;
    if (isFirst) {
      const bound = backoffBoundMs(++limit.strikes, this.#config);
      // Asked for no time at all, or less each time, it would run into the same limit without end.
      limit.until = now + Math.max(retryAfterMs ?? 0, Math.round((0.5 + random() / 2) * bound));
    } else if (retryAfterMs !== null) {
      limit.until = Math.max(limit.until, now + retryAfterMs);
    }
    limit.isOver = false;
    limit.width = 1;
    return { pauseMs: limit.until - now, isFirst };
  }

  /** Any other answer, or none. True where it lets more of this key leave. */
  answered(key: string, eventId: string, isSuccess: boolean): boolean {
    const limit = this.#limits.get(key);
    if (limit === undefined || !limit.inFlight.delete(eventId)) return false;
    if (isSuccess) {
      limit.strikes = 0;
      limit.width++;
      if (limit.width >= this.#config.widthMax) this.#limits.delete(key);
    }
    return true;
  }

  /** Whether a pause has ended since this was last asked: its key's events can be claimed again. */
  ended(now: number): boolean {
    let any = false;
    for (const limit of this.#limits.values()) {
      if (limit.isOver || now < limit.until) continue;
      limit.isOver = true;
      any = true;
    }
    return any;
  }

  /** When the next pause ends; null where there is none. */
  nextEnd(): number | null {
    let next: number | null = null;
    for (const { until, isOver } of this.#limits.values()) {
      if (!isOver && (next === null || until < next)) next = until;
    }
    return next;
  }
}
