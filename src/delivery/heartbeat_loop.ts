/** Tells ilert at once and then every 30 s that the agent is alive. */

import type { PingResult } from "../ilert/api.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";

export const HEARTBEAT_INTERVAL_MS = 30_000;

export interface HeartbeatReceiver {
  ping(key: string, signal: AbortSignal): Promise<PingResult>;
}

export class HeartbeatLoop implements Disposable {
  readonly #abort = new AbortController();
  readonly #ilert: HeartbeatReceiver;
  readonly #key: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #mayBeat: () => boolean;
  #cancelNext: () => void = () => {};

  /** `mayBeat` is asked before each ping. */
  constructor(
    ilert: HeartbeatReceiver,
    key: string,
    mayBeat: () => boolean,
    deps: { clock: Clock; log: Log },
  ) {
    this.#mayBeat = mayBeat;
    this.#ilert = ilert;
    this.#key = key;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  start(): void {
    void this.#beat();
  }

  [Symbol.dispose](): void {
    this.#cancelNext();
    this.#abort.abort();
  }

  async #beat(): Promise<void> {
    // Armed before the ping, so that a slow answer does not stretch the interval.
    this.#cancelNext = this.#clock.after(HEARTBEAT_INTERVAL_MS, () => void this.#beat());
    if (!this.#mayBeat()) return this.#log.warn("No heartbeat: the agent is not ready");
    const result = await this.#ilert.ping(this.#key, this.#abort.signal);
    if (this.#abort.signal.aborted) return;
    if (result.ok) this.#log.debug("Heartbeat sent");
    else this.#log.warn("Heartbeat failed: {reason}", { reason: result.reason });
  }
}
