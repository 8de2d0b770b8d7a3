/** The demo's load: alerts that are opened, accepted and resolved, sent as a careful sender would. */

import type { IlertEvent } from "../../tests/support/ilert_event_validation.ts";
import { sleep, WaitingRoom } from "../../tests/support/waiting_room.ts";

export const SOURCES = [
  { integrationKey: "il1demoservers", summary: "The disk is nearly full" },
  { integrationKey: "il1demonetwork", summary: "Packets get lost" },
  { integrationKey: "il1demoshop", summary: "Payments take too long" },
] as const;
const STAGES = ["ALERT", "ACCEPT", "RESOLVE"] as const;
/** People take a moment to accept an alert and to resolve it. */
const REACTION_MS_MIN = 300, REACTION_MS_MAX = 1_500;
const RETRY_MS = 100, TIMEOUT_MS = 5_000;

/** Repeats an event until it is answered 200, and sends the next of an alert only then. */
export class Sender {
  /** performance.now() of the answer 200, by event. */
  readonly acceptedAt = new Map<string, number>();
  /** What neither a repeat nor a 200 can follow. */
  readonly refusals: string[] = [];
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #waiting = new WaitingRoom();

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  /** Resolves when all are resolved, or soon after the signal. Never rejects. */
  async sendAlerts(name: string, count: number, overMs: number): Promise<void> {
    const alerts = Array.from({ length: count }, async (_, index) => {
      await sleep(overMs * index / count, [this.#signal]);
      await this.#sendAlert(`${name}-${index + 1}`, SOURCES[index % SOURCES.length] ?? SOURCES[0]);
    });
    await Promise.all(alerts);
  }

  async progress(isMet: () => boolean): Promise<void> {
    const describe = () => `the agent accepted only ${this.acceptedAt.size} events`;
    await this.#waiting.until(isMet, { timeoutMs: TIMEOUT_MS, signal: this.#signal, describe });
  }

  async #sendAlert(alertKey: string, source: typeof SOURCES[number]): Promise<void> {
    for (const [index, eventType] of STAGES.entries()) {
      const sequence = index + 1;
      const isAccepted = await this.#send({ ...source, alertKey, eventType }, sequence);
      if (!isAccepted) return;
      this.acceptedAt.set(idOf(alertKey, sequence), performance.now());
      this.#waiting.check();
      const reactionMs = REACTION_MS_MIN + Math.random() * (REACTION_MS_MAX - REACTION_MS_MIN);
      if (sequence < STAGES.length) await sleep(reactionMs, [this.#signal]);
    }
  }

  async #send(event: IlertEvent, sequence: number): Promise<boolean> {
    for (let attempt = 1; !this.#signal.aborted; attempt++) {
      const status = await this.#post({ ...event, customDetails: { sequence, attempt } });
      if (status === 200) return true;
      if (status !== null && status !== 503) {
        this.refusals.push(`the agent answered ${status} to event ${sequence} of ${event.alertKey}`);
        return false;
      }
      await sleep(RETRY_MS, [this.#signal]);
    }
    return false;
  }

  /** Null without an answer: whether the agent has the event is then unknown. */
  async #post(event: IlertEvent): Promise<number | null> {
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(event),
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      await response.body?.cancel();
      return response.status;
    } catch {
      return null;
    }
  }
}

/** What tells one event from all others. */
export function idOf(alertKey: string | null | undefined, sequence: number | undefined): string {
  return `${alertKey} ${sequence}`;
}

/** The sender numbers the events of an alert, and its attempts at each. */
export function numberOf({ customDetails }: IlertEvent, name: "sequence" | "attempt"): number | undefined {
  const value = customDetails?.[name];
  return typeof value === "number" ? value : undefined;
}
