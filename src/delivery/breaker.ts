/**
 * Tells an outage of the API from trouble with single events.
 *
 *   closed ── 3 failed connections or 5 5xx answers in a row ──▶ open ── first success ──▶ closed
 *
 * While it is open one probe at a time is sent, the first at once, then one a second (failed connections) or one every
 * two seconds (5xx), and no event's attempts are counted: an outage of any length makes no dead letters.
 */

import type { Outcome } from "../domain/outcome.ts";

export type OutageCause = "unreachable" | "server_error";

const FAILURES_TO_OPEN: Record<OutageCause, number> = { unreachable: 3, server_error: 5 };
const PROBE_INTERVAL_MS: Record<OutageCause, number> = { unreachable: 1_000, server_error: 2_000 };

export type BreakerChange = { kind: "opened"; reason: string } | { kind: "closed" };

interface Open {
  since: number;
  nextProbeAt: number;
  probing: boolean;
  failedKeys: Set<string>;
}

const NO_KEYS: ReadonlySet<string> = new Set();

export class Breaker {
  #inARow: Record<OutageCause, number> = { unreachable: 0, server_error: 0 };
  #open: Open | null = null;

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** When it opened, by the monotonic clock as all times here; null while closed. */
  get openSince(): number | null {
    return this.#open?.since ?? null;
  }

  /** Integration keys that failed since it opened: a probe with another key says more. */
  get failedKeys(): ReadonlySet<string> {
    return this.#open?.failedKeys ?? NO_KEYS;
  }

  /** When the next probe may leave; null while closed or while one is in flight. */
  get nextProbeAt(): number | null {
    return this.#open === null || this.#open.probing ? null : this.#open.nextProbeAt;
  }

  /** Marks the one probe as in flight. */
  startProbe(): void {
    if (this.#open !== null) this.#open.probing = true;
  }

  /** Takes note of any outcome, and tells what it changed. */
  record(outcome: Outcome, integrationKey: string, isProbe: boolean, now: number): BreakerChange | null {
    // An answer about the event itself is the API at work; a 429 or 408 says too little either way.
    if (outcome.kind !== "retry") return this.#succeed();
    const { cause, reason } = outcome;
    if (cause === "unreachable" || cause === "server_error") {
      return this.#fail(cause, integrationKey, isProbe, now) ? { kind: "opened", reason } : null;
    }
    if (isProbe) this.#reschedule(PROBE_INTERVAL_MS.unreachable, now);
    return null;
  }

  #succeed(): BreakerChange | null {
    this.#inARow = { unreachable: 0, server_error: 0 };
    if (this.#open === null) return null;
    this.#open = null;
    return { kind: "closed" };
  }

  /** Whether it opens with this. */
  #fail(cause: OutageCause, integrationKey: string, isProbe: boolean, now: number): boolean {
    this.#inARow[cause]++;
    if (this.#open !== null) {
      this.#open.failedKeys.add(integrationKey);
      if (isProbe) this.#reschedule(PROBE_INTERVAL_MS[cause], now);
      return false;
    }
    if (this.#inARow[cause] < FAILURES_TO_OPEN[cause]) return false;
    this.#open = { since: now, nextProbeAt: now, probing: false, failedKeys: new Set([integrationKey]) };
    return true;
  }

  /** After a probe. What was sent before may have closed it meanwhile. */
  #reschedule(delayMs: number, now: number): void {
    if (this.#open === null) return;
    this.#open.probing = false;
    this.#open.nextProbeAt = now + delayMs;
  }
}
