/**
 * Integration keys that ilert told to slow down. A 429 stops its key until Retry-After, and nobody else; then one
 * event goes ahead alone, and only its success lets the others follow.
 */

import { backoffBoundMs } from "../domain/retry_policy.ts";

interface Pause {
  until: number;
  /** 429 answers in a row. */
  strikes: number;
  /** The event that was let through alone, or null while the pause lasts. */
  scoutId: string | null;
}

export class KeyPauses {
  readonly #pauses = new Map<string, Pause>();

  constructor(readonly backoff: { baseMs: number; capMs: number }) {}

  /** How many keys may not send now. */
  pausedCount(now: number): number {
    return [...this.#pauses.keys()].filter((key) => this.isPaused(key, now)).length;
  }

  isPaused(key: string, now: number): boolean {
    const pause = this.#pauses.get(key);
    return pause !== undefined && (pause.scoutId !== null || now < pause.until);
  }

  /** Notes that an event of this key leaves; the first one after a pause becomes its scout. */
  departed(key: string, eventId: string): void {
    const pause = this.#pauses.get(key);
    if (pause !== undefined) pause.scoutId ??= eventId;
  }

  /** A 429 arrived. Without a Retry-After the pause grows by backoff with jitter. Answers when it ends. */
  pause(key: string, notBefore: number | null, now: number, random: () => number): number {
    const pause = this.#pauses.get(key) ?? { until: now, strikes: 0, scoutId: null };
    // Answers to what was in flight when the pause began are one strike, not many.
    if (now >= pause.until) pause.strikes++;
    const bound = backoffBoundMs(pause.strikes + 1, this.backoff);
    pause.until = Math.max(pause.until, notBefore ?? now + Math.round((0.5 + random() / 2) * bound));
    pause.scoutId = null;
    this.#pauses.set(key, pause);
    return pause.until;
  }

  /** Any other answer: the scout's ends the pause. True where it did. */
  answered(key: string, eventId: string): boolean {
    return this.#pauses.get(key)?.scoutId === eventId && this.#pauses.delete(key);
  }

  /** When the next pause ends, in ms since the epoch; null where none is waited for. */
  nextEnd(now: number): number | null {
    let next: number | null = null;
    for (const { until, scoutId } of this.#pauses.values()) {
      if (scoutId === null && until > now && (next === null || until < next)) next = until;
    }
    return next;
  }
}
