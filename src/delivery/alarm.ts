/** Tells people, through a second integration key, that the agent itself is in trouble. */

import { minimalEvent } from "../domain/event.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { EventReceiver } from "./delivery_loop.ts";

/** What is wrong now: name → one sentence. The name is the alert key, so that each trouble is one alert. */
export type Troubles = ReadonlyMap<string, string>;

const CHECK_MS = 1_000;

/**
 * One alert per trouble while it lasts, resolved when it is over. It does not go through the queue: the queue may be
 * the trouble. What ilert does not take now is tried again with the next check.
 */
export class Alarm implements Disposable {
  readonly #ilert: EventReceiver;
  readonly #key: string;
  readonly #troubles: () => Troubles;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #abort = new AbortController();
  /** Names of the alerts that ilert has. */
  readonly #raised = new Set<string>();
  #cancel: () => void = () => {};

  constructor(ilert: EventReceiver, key: string, troubles: () => Troubles, deps: { clock: Clock; log: Log }) {
    this.#ilert = ilert;
    this.#key = key;
    this.#troubles = troubles;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  start(): void {
    this.#cancel = this.#clock.after(CHECK_MS, () => void this.#check());
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#abort.abort();
  }

  async #check(): Promise<void> {
    const troubles = this.#troubles();
    for (const [name, summary] of troubles) {
      if (!this.#raised.has(name) && await this.#send("ALERT", name, summary)) this.#raised.add(name);
    }
    for (const name of this.#raised) {
      if (!troubles.has(name) && await this.#send("RESOLVE", name, "It is over.")) this.#raised.delete(name);
    }
    if (!this.#abort.signal.aborted) this.start();
  }

  async #send(eventType: "ALERT" | "RESOLVE", name: string, summary: string): Promise<boolean> {
    const event = { ...minimalEvent(this.#key, eventType, summary), alertKey: `ilagent-${name}` };
    const outcome = await this.#ilert.deliver(event, null, this.#abort.signal);
    if (outcome.kind === "rejected") {
      this.#log.error("The alarm was refused: {reason}", { reason: outcome.reason });
    }
    // Asking again every second would not change a refusal.
    return outcome.kind !== "retry";
  }
}
