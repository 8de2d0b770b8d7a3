/**
 * Passes the heartbeats of messages on to ilert, apart from everything else. Of each key at most one ping is under
 * way and one waits: a newer one takes the place of one that has failed, because only the latest tells anything.
 *
 *   ping ──▶ due ──▶ sent ──▶ taken | refused
 *             ▲        │
 *             │        ▼
 *             └──── waiting ──▶ given up, when it is too old or too many others wait
 */

import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, backoffBoundMs } from "../domain/retry_policy.ts";
import type { PingResult } from "../ilert/api.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { redactKey } from "../runtime/redact.ts";
import type { HeartbeatReceiver } from "./heartbeat_loop.ts";

interface Beat {
  readonly key: string;
  /** When the latest message asked for it, by the monotonic clock. */
  askedAt: number;
  failures: number;
  state: "due" | "sent" | "waiting";
  /** Another message asked for it while it was on its way. */
  isAskedAgain: boolean;
  cancelRetry: () => void;
}

const IN_FLIGHT_MAX = 16;
/** Keys whose ping has not been taken yet. */
const KEYS_MAX = 10_000;
/** A ping later than this would tell of a life that may long be over. */
const AGE_MAX_MS = 3_600_000;
const BACKOFF = { baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS };

export class HeartbeatPings {
  readonly #ilert: HeartbeatReceiver;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #abort = new AbortController();
  /** By key, the one that has been asked for longest ago first. */
  readonly #beats = new Map<string, Beat>();
  readonly #due: Beat[] = [];
  #inFlight = 0;
  #isStopping = false;
  #idle: (() => void) | null = null;

  constructor(ilert: HeartbeatReceiver, deps: { clock: Clock; random: () => number; log: Log }) {
    this.#ilert = ilert;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#log = deps.log;
  }

  /** Never blocks and never fails: whatever comes of it is only logged. */
  ping(key: string): void {
    if (this.#isStopping) return;
    const askedAt = this.#clock.monotonic();
    const beat: Beat = this.#beats.get(key) ??
      { key, askedAt, failures: 0, state: "waiting", isAskedAgain: false, cancelRetry: () => {} };
    // Put last, as the one asked for most recently.
    this.#beats.delete(key);
    this.#beats.set(key, beat);
    beat.askedAt = askedAt;
    beat.failures = 0;
    if (beat.state === "sent") beat.isAskedAgain = true;
    if (beat.state === "waiting") this.#makeDue(beat);
    this.#makeRoom();
    this.#pump();
  }

  /** Starts nothing more and waits for what is under way, at most `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    for (const { cancelRetry } of this.#beats.values()) cancelRetry();
    if (this.#inFlight > 0) {
      const idle = new Promise<void>((resolve) => this.#idle = resolve);
      const cancel = this.#clock.after(timeoutMs, () => this.#abort.abort());
      await idle;
      cancel();
    }
    const count = this.#beats.size;
    if (count > 0) this.#log.warn("{count} heartbeats of messages were not passed on", { count });
    this.#beats.clear();
  }

  #makeDue(beat: Beat): void {
    beat.cancelRetry();
    beat.state = "due";
    this.#due.push(beat);
  }

  #makeRoom(): void {
    if (this.#beats.size <= KEYS_MAX) return;
    for (const beat of this.#beats.values()) {
      if (beat.state === "sent") continue;
      if (beat.state === "due") this.#due.splice(this.#due.indexOf(beat), 1);
      return this.#giveUp(beat, `more than ${KEYS_MAX} heartbeats wait`);
    }
  }

  #pump(): void {
    while (!this.#isStopping && this.#inFlight < IN_FLIGHT_MAX) {
      const beat = this.#due.shift();
      if (beat === undefined) return;
      this.#inFlight++;
      void this.#send(beat);
    }
  }

  async #send(beat: Beat): Promise<void> {
    beat.state = "sent";
    beat.isAskedAgain = false;
    const result = await this.#attempt(beat.key);
    this.#inFlight--;
    if (!this.#isStopping || result.ok) this.#decide(beat, result);
    if (this.#inFlight === 0) this.#idle?.();
    this.#pump();
  }

  async #attempt(key: string): Promise<PingResult> {
    try {
      return await this.#ilert.ping(key, this.#abort.signal);
    } catch (error) {
      return { ok: false, reason: failureOf(error), isFinal: false };
    }
  }

  #decide(beat: Beat, result: PingResult): void {
    const key = redactKey(beat.key);
    if (result.ok) this.#log.debug("Heartbeat {key} of a message is passed on", { key });
    else if (result.isFinal) {
      this.#log.warn("Heartbeat {key} is refused: {reason}", { key, reason: result.reason });
    }
    if (beat.isAskedAgain && !this.#isStopping) return this.#makeDue(beat);
    if (result.ok || result.isFinal) this.#beats.delete(beat.key);
    else this.#retryLater(beat, result.reason);
  }

  #retryLater(beat: Beat, reason: string): void {
    const now = this.#clock.monotonic();
    if (now - beat.askedAt > AGE_MAX_MS) return this.#giveUp(beat, reason);
    beat.failures++;
    const key = redactKey(beat.key);
    if (beat.failures === 1) {
      this.#log.warn("Heartbeat {key} failed: {reason}; trying again", { key, reason });
    }
    beat.state = "waiting";
    const waitMs = Math.round(this.#random() * backoffBoundMs(beat.failures, BACKOFF));
    beat.cancelRetry = this.#clock.after(waitMs, () => {
      this.#makeDue(beat);
      this.#pump();
    });
  }

  #giveUp(beat: Beat, reason: string): void {
    beat.cancelRetry();
    this.#beats.delete(beat.key);
    this.#log.warn("Heartbeat {key} is given up: {reason}", { key: redactKey(beat.key), reason });
  }
}
