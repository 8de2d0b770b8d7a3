/**
 * The emulator of ilert as a process of its own, with what its control API cannot do: an outage that ends on command,
 * and the moment at which each event arrived.
 */

import type { Fault } from "../../tests/support/ilert_faults.ts";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import type { RecordedRequest } from "../../tests/support/ilert_request_log.ts";
import { answerQuestions, sharedNow } from "./conversation.ts";

export const EMULATED_API = import.meta.url;

export type ApiQuestion =
  /** Nothing counted, these faults instead of those in force. */
  | { kind: "reset"; faults: Fault[]; keepArrivals?: boolean }
  | { kind: "faults"; faults: Fault[] }
  /** Connections are refused. */
  | { kind: "down" }
  | { kind: "up" }
  | { kind: "state" }
  /** Answers when this many different events were taken, or when the time is over. */
  | { kind: "until"; delivered: number; timeoutMs: number }
  | { kind: "arrivals" };

/** All times by `sharedNow()`. */
export interface ApiState {
  url: string;
  at: number;
  /** Different events taken. */
  delivered: number;
  /** Events taken once more. */
  duplicates: number;
  orderViolations: number;
  requests: number;
  /** Arrivals of taken events since the last reset, change of faults, or return; null where there was none. */
  firstAt: number | null;
  lastAt: number | null;
  /** Number and first arrival of each event, only where asked for and kept. */
  arrivals: [number: number, at: number][];
}

class EmulatedApi {
  readonly #emulator: IlertEmulator;
  #keepsArrivals = false;
  #arrivals = new Map<number, number>();
  #changedAt = 0;
  #firstAt: number | null = null;
  #lastAt: number | null = null;
  /** Answers that said 202. */
  #taken = 0;
  #wanted: { delivered: number; reached: () => void } | null = null;

  private constructor(emulator: IlertEmulator) {
    this.#emulator = emulator;
  }

  static async start(): Promise<EmulatedApi> {
    const started: { api?: EmulatedApi } = {};
    const onAnswered = (request: RecordedRequest) => started.api?.answered(request);
    started.api = new EmulatedApi(await IlertEmulator.start({ record: "counts", onAnswered }));
    return started.api;
  }

  async answer(question: ApiQuestion): Promise<ApiState> {
    switch (question.kind) {
      case "reset":
        this.#emulator.reset();
        this.#arrivals = new Map();
        this.#keepsArrivals = question.keepArrivals ?? false;
        this.#taken = 0;
        this.#setFaults(question.faults);
        break;
      case "faults":
        this.#setFaults(question.faults);
        break;
      case "down":
        await this.#emulator.goDown();
        break;
      case "up":
        await this.#emulator.comeBack();
        this.#changed();
        break;
      case "until":
        await this.#until(question.delivered, question.timeoutMs);
        break;
      case "arrivals":
      case "state":
        break;
    }
    return this.#state(question.kind === "arrivals");
  }

  #setFaults(faults: Fault[]): void {
    this.#emulator.clearFaults();
    for (const fault of faults) this.#emulator.inject(fault);
    this.#changed();
  }

  #changed(): void {
    this.#changedAt = performance.now();
    this.#firstAt = this.#lastAt = null;
  }

  /** Called by the emulator. */
  answered({ status, at, body }: RecordedRequest): void {
    if (status !== 202) return;
    this.#taken++;
    if (at >= this.#changedAt) {
      this.#firstAt = Math.min(this.#firstAt ?? at, at);
      this.#lastAt = Math.max(this.#lastAt ?? at, at);
    }
    const number = this.#keepsArrivals ? numberOf(body) : null;
    if (number !== null && !this.#arrivals.has(number)) this.#arrivals.set(number, at);
    const wanted = this.#wanted;
    // The first comparison is the cheap one, and false for nearly all of a long run.
    if (wanted !== null && this.#taken >= wanted.delivered && this.#delivered() >= wanted.delivered) {
      wanted.reached();
    }
  }

  async #until(delivered: number, timeoutMs: number): Promise<void> {
    if (this.#delivered() >= delivered) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wanted = { delivered, reached: resolve };
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    this.#wanted = null;
  }

  #delivered(): number {
    const { accepted, duplicates } = this.#emulator.counts;
    return accepted - duplicates;
  }

  #state(withArrivals: boolean): ApiState {
    const { duplicates, orderViolations, requests } = this.#emulator.counts;
    return {
      url: this.#emulator.url,
      at: sharedNow(),
      delivered: this.#delivered(),
      duplicates,
      orderViolations,
      requests,
      firstAt: shared(this.#firstAt),
      lastAt: shared(this.#lastAt),
      arrivals: withArrivals ? [...this.#arrivals].map(([n, at]) => [n, performance.timeOrigin + at]) : [],
    };
  }
}

function shared(at: number | null): number | null {
  return at === null ? null : performance.timeOrigin + at;
}

function numberOf(body: unknown): number | null {
  const n = (body as { customDetails?: { n?: unknown } } | undefined)?.customDetails?.n;
  return typeof n === "number" ? n : null;
}

if (import.meta.main) {
  const api = await EmulatedApi.start();
  await answerQuestions((question: ApiQuestion) => api.answer(question));
}
