/**
 * Passes updates of escalation policies on to ilert, apart from the events, which never wait for them.
 *
 *   run ──▶ behind the earlier updates of its routing key ──▶ attempt ──▶ applied | dead
 *                                                               │ ▲
 *                                                               ▼ │
 *                                                             waiting
 *
 * An update that waits for its next attempt keeps its place, so that an older one never overwrites a newer one.
 */

import type { Outcome, Retry } from "../domain/outcome.ts";
import type { PolicyUpdate } from "../domain/policy_update.ts";
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, backoffBoundMs } from "../domain/retry_policy.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";

/** What this needs of ilert: one attempt, classified. A rejection of the promise is a bug and is retried. */
export interface PolicyReceiver {
  apply(update: PolicyUpdate, signal: AbortSignal): Promise<Outcome>;
}

export type PolicyEnd =
  | { kind: "applied" }
  /** Nothing more is tried: to be made a dead letter. */
  | { kind: "dead"; status: number | null; reason: string; responseBody: string | null; attempts: number };

/** How an update has fared so far. */
interface Progress {
  failures: number;
  /** Failures that count against the limit of retries. */
  counted: number;
}

const BACKOFF = { baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS };

/** Attempts under way, of three calls each; ilert has far narrower limits for these calls than for events. */
const IN_FLIGHT_MAX = 4;

/** Characters of ilert's answer in a log line; the dead letter has more. */
const LOGGED_ANSWER_MAX = 300;

/** So many failures in a row, of whichever updates, are an outage: it makes no dead letters however long it takes. */
const OUTAGE_FAILURES = 5;

export class PolicyUpdates {
  readonly #ilert: PolicyReceiver;
  readonly #retriesMax: number;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  /** By routing key: over when its last update is. */
  readonly #lanes = new Map<string, Promise<unknown>>();
  readonly #waitingForSlot: (() => void)[] = [];
  #inFlight = 0;
  #failuresInRow = 0;
  /** All calls share one API key, so its limit holds for all. By the monotonic clock. */
  #pausedUntil = 0;

  /** `retriesMax` is 0 for no limit. */
  constructor(
    ilert: PolicyReceiver,
    retriesMax: number,
    deps: { clock: Clock; random: () => number; log: Log },
  ) {
    this.#ilert = ilert;
    this.#retriesMax = retriesMax;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#log = deps.log;
  }

  /**
   * Resolves when ilert has it or nothing more is tried; rejects only when `signal` is aborted. Updates of one routing
   * key are made in the order of the calls. Whoever calls bounds how many wait.
   */
  async run(update: PolicyUpdate, signal: AbortSignal): Promise<PolicyEnd> {
    const { routingKey } = update;
    const earlier = this.#lanes.get(routingKey) ?? Promise.resolve();
    const end = this.#inTurn(update, earlier, signal);
    const lane = Promise.allSettled([earlier, end]);
    this.#lanes.set(routingKey, lane);
    try {
      return await end;
    } finally {
      void lane.then(() => {
        if (this.#lanes.get(routingKey) === lane) this.#lanes.delete(routingKey);
      });
    }
  }

  async #inTurn(update: PolicyUpdate, earlier: Promise<unknown>, signal: AbortSignal): Promise<PolicyEnd> {
    await unlessAborted(earlier, signal);
    const progress: Progress = { failures: 0, counted: 0 };
    for (;;) {
      const outcome = await this.#attempt(update, signal);
      switch (outcome.kind) {
        case "delivered":
          this.#failuresInRow = 0;
          this.#log.info("Level {level} of the escalation policy of {routingKey} is changed", {
            ...told(update),
          });
          return { kind: "applied" };
        case "rejected": {
          this.#failuresInRow = 0;
          const { status, reason, responseBody } = outcome;
          return this.#dead(update, { status, reason, responseBody, attempts: progress.failures + 1 });
        }
        case "retry": {
          // What the end of the agent cut off says nothing about the update.
          signal.throwIfAborted();
          const waitMs = this.#waitAfter(outcome, progress);
          if (waitMs === null) {
            const reason = `gave up: ${outcome.reason}`;
            return this.#dead(update, {
              ...{ status: outcome.status, reason, responseBody: null },
              attempts: progress.failures,
            });
          }
          this.#tellRetry(update, outcome, progress, waitMs);
          await this.#pause(waitMs, signal);
        }
      }
    }
  }

  async #attempt(update: PolicyUpdate, signal: AbortSignal): Promise<Outcome> {
    await this.#takeSlot(signal);
    try {
      return await this.#ilert.apply(update, signal);
    } catch (error) {
      return {
        kind: "retry",
        cause: "timed_out",
        status: null,
        reason: failureOf(error),
        retryAfterMs: null,
      };
    } finally {
      this.#inFlight--;
      for (const look of this.#waitingForSlot.splice(0)) look();
    }
  }

  async #takeSlot(signal: AbortSignal): Promise<void> {
    for (;;) {
      const pauseMs = this.#pausedUntil - this.#clock.monotonic();
      if (pauseMs > 0) await this.#pause(pauseMs, signal);
      else if (this.#inFlight < IN_FLIGHT_MAX) break;
      else await unlessAborted(new Promise<void>((resolve) => this.#waitingForSlot.push(resolve)), signal);
    }
    this.#inFlight++;
  }

  /** Null where nothing more is tried. */
  #waitAfter({ cause, retryAfterMs }: Retry, progress: Progress): number | null {
    progress.failures++;
    const isThrottled = cause === "throttled";
    if (!isThrottled && ++this.#failuresInRow <= OUTAGE_FAILURES) progress.counted++;
    if (this.#retriesMax > 0 && progress.counted > this.#retriesMax) return null;
    const waitMs = Math.max(
      retryAfterMs ?? 0,
      Math.round((0.5 + this.#random() / 2) * backoffBoundMs(progress.failures, BACKOFF)),
    );
    if (isThrottled) this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + waitMs);
    return waitMs;
  }

  #tellRetry(update: PolicyUpdate, { reason }: Retry, { failures }: Progress, waitMs: number): void {
    this.#log.warn(
      "Level {level} of the escalation policy of {routingKey} is not changed yet: {reason}; attempt {attempt} in {seconds} s",
      { ...told(update), reason, attempt: failures + 1, seconds: Math.round(waitMs / 100) / 10 },
    );
  }

  #dead(update: PolicyUpdate, death: Omit<PolicyEnd & { kind: "dead" }, "kind">): PolicyEnd {
    this.#log.error(
      "Level {level} of the escalation policy of {routingKey} is not changed, after attempt {attempts}: {reason} {answer}",
      { ...told(update), ...death, answer: (death.responseBody ?? "").slice(0, LOGGED_ANSWER_MAX) },
    );
    return { kind: "dead", ...death };
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    let cancel = () => {};
    const over = new Promise<void>((resolve) => cancel = this.#clock.after(ms, resolve));
    return unlessAborted(over, signal).finally(() => cancel());
  }
}

function told({ routingKey, level }: PolicyUpdate): { routingKey: string; level: number } {
  return { routingKey, level };
}

/** Rejects as soon as `signal` is aborted. */
function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const stopListening = () => signal.removeEventListener("abort", abort);
    promise.finally(stopListening).then(() => resolve(), reject);
  });
}
