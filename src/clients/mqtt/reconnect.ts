/** When to connect again. Time and randomness are parameters. */

import type { Closing } from "./connection.ts";

/** Contract §4. */
const BACKOFF_BASE_MS = 100, BACKOFF_CAP_MS = 30_000;
/** A connection that lived so long was a good one: the next failure is a first one. */
const STABLE_MS = 10_000;

/**
 * Whoever connects evicts the other with the same client id. Two that both came back quickly would do so for ever, so
 * each eviction makes an agent wait longer, until it has had the session to itself for a while.
 */
const TAKE_OVER_BASE_MS = 10_000, TAKE_OVER_CAP_MS = 300_000;
const UNDISTURBED_MS = 600_000;

/**
 * MQTT 3.1.1 has no word for a take-over, and Mosquitto 2.0.11 has none with MQTT 5 either: the broker just closes. So
 * many closes in a row, each this soon after the connection was made, are taken for it; and from then on one that
 * comes less soon, too.
 */
const CLOSES_IN_A_ROW = 3;
const SOON_MS = 5_000, SOON_WHEN_SUSPECTED_MS = 60_000;

export type LossCause = "network" | "taken_over" | "probably_taken_over";

export class ReconnectSchedule {
  readonly #random: () => number;
  #failures = 0;
  #takeOvers = 0;
  #soonClosed = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The wait after an attempt that led to no connection. */
  afterFailure(): number {
    return this.#spread(BACKOFF_BASE_MS, BACKOFF_CAP_MS, this.#failures++);
  }

  /** The wait after the end of a connection that lived for `livedMs`. */
  afterLoss(livedMs: number, closing: Closing): { delayMs: number; cause: LossCause } {
    if (livedMs >= STABLE_MS) this.#failures = 0;
    if (livedMs >= UNDISTURBED_MS) this.#takeOvers = 0;
    const cause = this.#causeOf(livedMs, closing);
    if (cause === "network") return { delayMs: this.afterFailure(), cause };
    return { delayMs: this.#spread(TAKE_OVER_BASE_MS, TAKE_OVER_CAP_MS, this.#takeOvers++), cause };
  }

  #causeOf(livedMs: number, closing: Closing): LossCause {
    if (closing.kind === "taken_over") return "taken_over";
    const isSuspected = this.#takeOvers > 0;
    const isSoon = livedMs <= (isSuspected ? SOON_WHEN_SUSPECTED_MS : SOON_MS);
    this.#soonClosed = closing.isByBroker && isSoon ? this.#soonClosed + 1 : 0;
    return this.#soonClosed >= (isSuspected ? 1 : CLOSES_IN_A_ROW) ? "probably_taken_over" : "network";
  }

  /** Between half the bound and the bound, so that a thousand agents do not come back in one moment. */
  #spread(baseMs: number, capMs: number, doublings: number): number {
    const boundMs = Math.min(capMs, baseMs * 2 ** Math.min(doublings, 30));
    return Math.round(boundMs * (0.5 + this.#random() / 2));
  }
}
