/** The process that posts events to an agent or to a baseline: see `LoadOrder`. */

import { answerQuestions, sharedNow } from "./conversation.ts";
import { eventText } from "./events.ts";
import { postHead, RawConnection } from "./raw_connection.ts";
import { percentile } from "./statistics.ts";

export const LOAD_GENERATOR = import.meta.url;

export interface LoadOrder {
  /** Scheme, host and port; events go to `/api/events`. */
  url: string;
  /** Each has one request under way at any moment. */
  connections: number;
  /** Of the first event; the others count on. */
  firstNumber: number;
  integrationKeys: readonly string[];
  until: { events: number } | { seconds: number };
  /** From the beginning of one event to that of the next, where the answers come sooner; 0 for no pause. */
  spacingMs: number;
}

export interface LoadReport {
  /** Answered 200. */
  accepted: number;
  /** All others, by status. */
  refused: Record<string, number>;
  seconds: number;
  /** From before the request is sent to its whole answer. */
  p50Ms: number;
  p99Ms: number;
  /** By `sharedNow()`, right before the first event is sent. */
  startedAt: number;
  /** When each event was sent, in the order of their numbers; empty without spacing. */
  sentAt: number[];
}

const PATH = "/api/events";
/** After a 503: as a sender would, but without giving up the load. */
const REFUSED_PAUSE_MS = 20;

async function generate(order: LoadOrder): Promise<LoadReport> {
  const connections = await Promise.all(
    Array.from({ length: order.connections }, () => RawConnection.open(order.url)),
  );
  const load = new Load(order);
  try {
    await Promise.all(connections.map((connection) => load.run(connection)));
  } finally {
    for (const connection of connections) connection[Symbol.dispose]();
  }
  return load.report();
}

class Load {
  readonly #order: LoadOrder;
  readonly #encoder = new TextEncoder();
  readonly #head: string;
  readonly #startedAt = performance.now();
  readonly #sharedStart = sharedNow();
  readonly #latencies: number[] = [];
  readonly #sentAt: number[] = [];
  readonly #refused: Record<string, number> = {};
  #count = 0;
  #accepted = 0;

  constructor(order: LoadOrder) {
    this.#order = order;
    const length = eventText(order.firstNumber, order.integrationKeys).length;
    this.#head = postHead(new URL(order.url).host, PATH, length);
  }

  async run(connection: RawConnection): Promise<void> {
    const { firstNumber, integrationKeys, spacingMs } = this.#order;
    while (this.#isOpen()) {
      const index = this.#count++;
      if (spacingMs > 0) await this.#turn(index * spacingMs);
      const request = this.#encoder.encode(this.#head + eventText(firstNumber + index, integrationKeys));
      const sentAt = performance.now();
      if (spacingMs > 0) this.#sentAt[index] = performance.timeOrigin + sentAt;
      const status = await connection.exchange(request);
      if (status === 200) {
        this.#accepted++;
        this.#latencies.push(performance.now() - sentAt);
      } else {
        this.#refused[status] = (this.#refused[status] ?? 0) + 1;
        await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
      }
    }
  }

  report(): LoadReport {
    return {
      accepted: this.#accepted,
      refused: this.#refused,
      seconds: (performance.now() - this.#startedAt) / 1_000,
      p50Ms: percentile(this.#latencies, 0.5),
      p99Ms: percentile(this.#latencies, 0.99),
      startedAt: this.#sharedStart,
      sentAt: this.#sentAt,
    };
  }

  #isOpen(): boolean {
    const { until } = this.#order;
    if ("events" in until) return this.#count < until.events;
    return performance.now() - this.#startedAt < until.seconds * 1_000;
  }

  async #turn(afterMs: number): Promise<void> {
    const waitMs = this.#startedAt + afterMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

if (import.meta.main) await answerQuestions(generate);
