/**
 * claim → send → settle, many at a time.
 *
 * An event is claimed the moment it is durable; the one timer serves retries, ends of pauses and probes. Order inside
 * a lane is the queue's: it hands out the next event of a lane only when the one before is settled on disk.
 */

import type { AlertEvent } from "../domain/event.ts";
import type { Ledger } from "../domain/ledger.ts";
import type { Outcome } from "../domain/outcome.ts";
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, nextAttemptAt, type RetryPolicy } from "../domain/retry_policy.ts";
import type { EventQueue, QueuedEvent, Settlement } from "../queue/queue.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { NextTurn } from "../runtime/next_turn.ts";
import { redactKey } from "../runtime/redact.ts";
import { Breaker, type BreakerChange } from "./breaker.ts";
import { IntakePriority } from "./intake_priority.ts";
import { KeyPauses } from "./key_pauses.ts";

/** What the loop needs of ilert: one attempt, classified. A rejection of the promise is a bug and is retried. */
export interface EventReceiver {
  deliver(event: AlertEvent, apiPath: string | null, signal: AbortSignal): Promise<Outcome>;
}

/** What the loop needs of the queue: the port but for its intake, to be woken, and to have it read again. */
export interface WakingQueue extends Omit<EventQueue, "enqueue"> {
  readonly ledger: Readonly<Ledger>;
  onAvailable(callback: () => void): void;
  rescan(): void;
  /** Moves all retries by a span of time. */
  postpone(byMs: number): void;
}

export interface DeliveryConfig {
  /** Deliveries in flight at the same time. */
  concurrency: number;
  /** Retries before an event becomes a dead letter; 0 for no limit. */
  retriesMax: number;
}

/** Told of what happens, for figures. */
export interface DeliveryObserver {
  /** `status` is null where there was no answer. */
  attempted(status: number | null, seconds: number): void;
  delivered(ageSeconds: number): void;
}

export interface DeliveryDeps {
  observer: DeliveryObserver;
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
}

/**
 * Deliveries begun in one turn of the event loop. While senders saturate the agent its turns are long and few, so that
 * taking their events goes before passing them on.
 */
const STARTS_PER_TURN = 2;

/** The first pause of an integration key, where the Retry-After of a 429 asks for no longer one. */
const PAUSE_BASE_MS = 1_000;

/** Clocks that are kept by NTP creep by far less between two looks. */
const CLOCK_JUMP_MIN_MS = 2_000;

/** What ilert answers to an event it takes. */
const ACCEPTED_STATUS = 202;

/** Characters of ilert's answer in a log line; the dead letter has more. */
const LOGGED_ANSWER_MAX = 300;

/** For settling what the end of the shutdown time-out cut off. */
const SETTLE_GRACE_MS = 1_000;

export class DeliveryLoop {
  readonly #queue: WakingQueue;
  readonly #ilert: EventReceiver;
  readonly #concurrency: number;
  readonly #policy: RetryPolicy;
  readonly #deps: DeliveryDeps;
  readonly #breaker = new Breaker();
  readonly #pauses: KeyPauses;
  readonly #intakePriority = new IntakePriority();
  readonly #abort = new AbortController();
  readonly #nextTurn = new NextTurn(() => this.#pump());
  #inFlight = 0;
  #cancelTimer: () => void = () => {};
  #timerAt: number | null = null;
  #outageSince = 0;
  /** Wall clock minus monotonic clock. */
  #clockOffset: number;
  #idle: (() => void) | null = null;

  constructor(queue: WakingQueue, ilert: EventReceiver, config: DeliveryConfig, deps: DeliveryDeps) {
    this.#queue = queue;
    this.#ilert = ilert;
    this.#concurrency = config.concurrency;
    this.#pauses = new KeyPauses({
      baseMs: PAUSE_BASE_MS,
      capMs: BACKOFF_CAP_MS,
      widthMax: config.concurrency,
    });
    this.#policy = { baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, retriesMax: config.retriesMax };
    this.#deps = deps;
    this.#clockOffset = deps.clock.now() - deps.clock.monotonic();
  }

  /** Starts with what is already queued. */
  start(): void {
    this.#queue.onAvailable(() => this.#nextTurn.request());
    this.#nextTurn.request();
  }

  get state(): { inFlight: number; pausedKeys: number; outageSince: number | null } {
    return {
      inFlight: this.#inFlight,
      pausedKeys: this.#pauses.pausedCount(this.#deps.clock.monotonic()),
      outageSince: this.#breaker.openSince,
    };
  }

  /** Claims nothing more and waits for what is in flight; what is not answered after `timeoutMs` stays queued. */
  async stop(timeoutMs: number): Promise<void> {
    this.#cancelTimer();
    this.#nextTurn[Symbol.dispose]();
    if (this.#inFlight === 0) return;
    const { clock } = this.#deps;
    const idle = new Promise<void>((resolve) => this.#idle = resolve);
    let cancel = clock.after(timeoutMs, () => {
      this.#abort.abort();
      // A disk that takes no writes holds the last settlements for ever; their events stay queued.
      cancel = clock.after(SETTLE_GRACE_MS, () => this.#idle?.());
    });
    await idle;
    cancel();
  }

  /** Sends all that may be sent now. */
  #pump(): void {
    const now = this.#deps.clock.monotonic();
    this.#followClock();
    if (this.#pauses.ended(now)) this.#queue.rescan();
    const isPaused = (key: string) => this.#pauses.isPaused(key, now);
    for (let started = 0; this.#inFlight < this.#concurrency; started++) {
      if (started === STARTS_PER_TURN) return this.#nextTurn.request();
      const isProbe = this.#breaker.isOpen;
      // A probe is never held back: it is one event, and no timer would bring it back.
      if (!isProbe && !this.#intakePriority.admits(this.#queue.ledger.accepted, now)) break;
      const next = isProbe ? this.#nextProbe(isPaused, now) : this.#queue.claim(isPaused);
      if (next === null) break;
      this.#pauses.departed(next.event.integrationKey, next.id);
      this.#inFlight++;
      void this.#deliver(next, isProbe);
    }
    this.#armTimer(now);
  }

  /** Retries wait for a span of time, but a file can only keep the hour: when that is set anew, they move with it. */
  #followClock(): void {
    const { clock, log } = this.#deps;
    const offset = clock.now() - clock.monotonic();
    const jump = Math.round(offset - this.#clockOffset);
    if (Math.abs(jump) < CLOCK_JUMP_MIN_MS) return;
    this.#clockOffset = offset;
    log.warn("The clock was set by {seconds} s; retries move with it", { seconds: jump / 1000 });
    this.#queue.postpone(jump);
  }

  #nextProbe(isPaused: (key: string) => boolean, now: number): QueuedEvent | null {
    const { nextProbeAt, failedKeys } = this.#breaker;
    if (nextProbeAt === null) return null;
    // An event of a key that has not failed is worth asking at once: the trouble may be with other keys only.
    const probe = now < nextProbeAt
      ? this.#queue.claimUntried(isPaused, failedKeys)
      : this.#queue.claimProbe(isPaused, failedKeys);
    if (probe !== null) this.#breaker.startProbe();
    return probe;
  }

  async #deliver(queued: QueuedEvent, isProbe: boolean): Promise<void> {
    const { log } = this.#deps;
    if (log.isEnabledFor("debug")) {
      const message = isProbe ? "Probing ilert with event {id}" : "Sending event {id}, attempt {attempt}";
      log.debug(message, { id: queued.id, attempt: queued.attempts + 1 });
    }
    const startedAt = this.#deps.clock.monotonic();
    const outcome = await this.#send(queued);
    if (outcome !== null) this.#observe(queued, outcome, this.#deps.clock.monotonic() - startedAt);
    const settlement = outcome === null ? null : this.#decide(queued, outcome, isProbe);
    if (settlement === null) this.#queue.release(queued);
    else await this.#queue.settle(queued, settlement);
    this.#inFlight--;
    if (this.#inFlight === 0) this.#idle?.();
    this.#nextTurn.request();
  }

  #observe({ acceptedAt }: QueuedEvent, outcome: Outcome, ms: number): void {
    const { clock, observer } = this.#deps;
    observer.attempted(outcome.kind === "delivered" ? ACCEPTED_STATUS : outcome.status, ms / 1000);
    if (outcome.kind === "delivered") observer.delivered(Math.max(0, clock.now() - acceptedAt) / 1000);
  }

  /** Null where the end of the shutdown cut it off: whether ilert took it is unknown, so it stays queued. */
  async #send(queued: QueuedEvent): Promise<Outcome | null> {
    const { signal } = this.#abort;
    try {
      const outcome = await this.#ilert.deliver(queued.event, queued.apiPath, signal);
      return signal.aborted && outcome.kind === "retry" ? null : outcome;
    } catch (error) {
      const reason = failureOf(error);
      this.#deps.log.error("Event {id} could not be sent: {reason}", { id: queued.id, reason });
      return { kind: "retry", cause: "timed_out", status: null, reason, retryAfterMs: null };
    }
  }

  /** Null gives the event back uncounted. */
  #decide(queued: QueuedEvent, outcome: Outcome, isProbe: boolean): Settlement | null {
    const { clock } = this.#deps;
    const key = queued.event.integrationKey;
    const wasOpen = this.#breaker.isOpen;
    const isThrottled = outcome.kind === "retry" && outcome.cause === "throttled";
    if (!isThrottled && this.#pauses.answered(key, queued.id, outcome.kind !== "retry")) this.#queue.rescan();
    const change = this.#breaker.record(outcome, key, isProbe, clock.monotonic());
    if (change !== null) this.#tellChange(change);
    switch (outcome.kind) {
      case "delivered":
        return this.#delivered(queued, outcome.correlationId);
      case "rejected":
        return this.#dead(queued, queued.attempts + 1, outcome.status, outcome.reason, outcome.responseBody);
      case "retry":
        return this.#retry(queued, outcome, wasOpen);
    }
  }

  #delivered(queued: QueuedEvent, correlationId: string | null): Settlement {
    const { log } = this.#deps;
    if (log.isEnabledFor("debug")) {
      log.debug("Event {id} delivered, correlation id {correlationId}", { id: queued.id, correlationId });
    }
    return { kind: "delivered" };
  }

  #retry(queued: QueuedEvent, outcome: Outcome & { kind: "retry" }, isUncounted: boolean): Settlement | null {
    const { clock, log, random } = this.#deps;
    const key = queued.event.integrationKey;
    const now = clock.now();
    let waitMs = 0;
    if (outcome.cause === "throttled") {
      const asked = outcome.retryAfterMs;
      const { pauseMs, isFirst } = this.#pauses.paused(key, queued.id, asked, clock.monotonic(), random);
      // One answer tells that the key is limited; the others were on their way and had no chance.
      if (!isFirst) return null;
      waitMs = pauseMs;
      log.warn("ilert limits {key}: its events wait for {seconds} s, those of other keys do not", {
        key: redactKey(key),
        seconds: inSeconds(pauseMs),
      });
    }
    if (isUncounted) return null;
    const attempts = queued.attempts + 1;
    const dueAt = nextAttemptAt(attempts, now, this.#policy, random);
    if (dueAt === null) {
      return this.#dead(queued, attempts, outcome.status, `gave up: ${outcome.reason}`, null);
    }
    const at = Math.max(dueAt, now + waitMs);
    log.info("Event {id} of {key} failed ({reason}); attempt {attempt} in {seconds} s", {
      id: queued.id,
      key: redactKey(key),
      reason: outcome.reason,
      attempt: attempts + 1,
      seconds: inSeconds(at - now),
    });
    return { kind: "waiting", attempts, nextAttemptAt: at, lastError: outcome.reason };
  }

  #dead(
    queued: QueuedEvent,
    attempts: number,
    status: number | null,
    reason: string,
    responseBody: string | null,
  ): Settlement {
    const { integrationKey, alertKey } = queued.event;
    this.#deps.log.error(
      "Event {id} of {key}, alert key {alertKey}, is a dead letter after attempt {attempts}: {reason} {answer}",
      {
        id: queued.id,
        key: redactKey(integrationKey),
        alertKey: alertKey ?? "none",
        attempts,
        reason,
        answer: (responseBody ?? "").slice(0, LOGGED_ANSWER_MAX),
      },
    );
    return { kind: "dead", attempts, status, reason, responseBody };
  }

  #tellChange(change: BreakerChange): void {
    const { log } = this.#deps;
    if (change.kind === "opened") {
      const { reason } = change;
      this.#outageSince = this.#deps.clock.monotonic();
      log.error("ilert does not take events ({reason}); they stay queued and ilert is probed", { reason });
    } else {
      const seconds = inSeconds(this.#deps.clock.monotonic() - this.#outageSince);
      log.warn("ilert takes events again, after {seconds} s", { seconds });
      this.#queue.rescan();
    }
  }

  /**
   * One timer for whatever comes first: a probe, a due retry, the end of a pause. `now` is the moment that the claims
   * went by: at a later one a probe that was not due then would look as if it had been tried for.
   */
  #armTimer(now: number): void {
    const { clock } = this.#deps;
    const { isOpen, nextProbeAt } = this.#breaker;
    // A probe that is due but found no event waits for one to arrive or for a pause to end, not for the clock.
    const probeAt = nextProbeAt !== null && nextProbeAt > now ? nextProbeAt : null;
    const dueAt = this.#queue.nextDueAt();
    const retryAt = dueAt === null ? null : now + dueAt - clock.now();
    const heldBackUntil = isOpen ? null : this.#intakePriority.nextAt;
    const at = earliest(earliest(isOpen ? probeAt : retryAt, this.#pauses.nextEnd()), heldBackUntil);
    if (at === this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = at;
    if (at === null) return;
    this.#cancelTimer = clock.after(at - now, () => {
      this.#timerAt = null;
      this.#queue.rescan();
      this.#nextTurn.request();
    });
  }
}

function inSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.min(a, b);
}
