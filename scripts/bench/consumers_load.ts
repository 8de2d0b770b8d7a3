/** What both brokers' benches do: a backlog that drains, one message at a time, and what the agent needs for it. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { sharedNow } from "./conversation.ts";
import { eventText } from "./events.ts";
import { peakMegabytes, ProcessorShares } from "./process_figures.ts";
import { type ApiClient, INTEGRATION_KEYS, type Stage } from "./stage.ts";
import { type Comparison, median, percentile } from "./statistics.ts";

/** Something that takes messages from a broker to the API, until it is disposed. */
export interface Consumer extends AsyncDisposable {
  pid: number;
  /** Whether it is the agent, and not the baseline. */
  isSubject: boolean;
}

/** As many as the agent keeps by default. */
export const IN_FLIGHT = 64;
export const RSS_MAX = 110;
const DRAIN_MS_MAX = 60_000, ARRIVAL_MS_MAX = 30_000;
const LATENCY = { warmUpEvents: 100, events: 300, spacingMs: 10, rounds: 2 };
const LATENCY_TARGETS = { p50Max: 10, p99Max: 50 };

export function eventTexts(firstNumber: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => eventText(firstNumber + index, INTEGRATION_KEYS));
}

export function consumerOf(agent: AgentProcess): Consumer {
  return { pid: agent.pid, isSubject: true, [Symbol.asyncDispose]: async () => void await agent.stop() };
}

/** The baseline, once it is connected. */
export function bareConsumerOf(
  client: AsyncDisposable & { pid: number; ask(question: { kind: "disconnect" }): Promise<unknown> },
): Consumer {
  return {
    pid: client.pid,
    isSubject: false,
    async [Symbol.asyncDispose]() {
      await client.ask({ kind: "disconnect" });
      await client[Symbol.asyncDispose]();
    },
  };
}

export class ConsumersBench {
  readonly stage: Stage;
  readonly api: ApiClient;
  readonly #name: string;
  readonly #brokerPid: number;
  #peakMegabytes = 0;

  /** `name` begins the names of all figures. */
  constructor(stage: Stage, api: ApiClient, name: string, brokerPid: number) {
    this.stage = stage;
    this.api = api;
    this.#name = name;
    this.#brokerPid = brokerPid;
  }

  /** Messages per second from the first arrival at the API to the last. Rejects when some do not arrive. */
  async drained(
    connect: () => Promise<Consumer>,
    messages: number,
    delayMs: number,
    shares: ProcessorShares,
  ): Promise<number> {
    const { api } = this;
    await api.reset(delayMs === 0 ? [] : [{ kind: "delay", ms: delayMs, on: "event" }]);
    await using consumer = await connect();
    const pids = { consumer: consumer.pid, "emulated API": api.pid, broker: this.#brokerPid };
    const end = await shares.during(pids, () => api.until(messages, DRAIN_MS_MAX));
    if (consumer.isSubject) this.observeMemory(consumer.pid);
    const { delivered, duplicates, firstAt, lastAt } = end;
    if (delivered < messages) throw new Error(`Only ${delivered} of ${messages} events arrived at the API`);
    if (duplicates > 0) this.stage.note(`${this.#name}: ${duplicates} events arrived twice`);
    return 1_000 * (messages - 1) / ((lastAt ?? NaN) - (firstAt ?? NaN));
  }

  observeMemory(pid: number): void {
    this.#peakMegabytes = Math.max(this.#peakMegabytes, peakMegabytes(pid));
  }

  rate(load: string, rates: Comparison, min: number, shares: Record<string, ProcessorShares>): void {
    const name = `${this.#name}_${load}`;
    this.stage.figure({ name, unit: "messages/s", ...rates, target: { of: "value", min } });
    this.stage.note(`${name}: ratios of the rounds ${rates.ratios.map((r) => r.toFixed(2)).join(" ")}`);
    for (const [who, shared] of Object.entries(shares)) {
      this.stage.note(`${name}: use of a core ${who}: ${shared}`);
    }
  }

  /** Of the load before; the next is measured anew. */
  memory(load: string): void {
    this.stage.figure({
      ...{ name: `${this.#name}_${load}_rss_peak`, unit: "MB", value: this.#peakMegabytes },
      target: { of: "value", max: RSS_MAX },
    });
    this.#peakMegabytes = 0;
  }

  /** One message at a time: from before it is published to its arrival at the API. */
  async latency(
    publish: (text: string) => Promise<void>,
    baseline: () => Promise<Consumer>,
    subject: () => Promise<Consumer>,
  ): Promise<void> {
    const bare: number[][] = [], through: number[][] = [];
    for (let round = 0; round < LATENCY.rounds; round++) {
      bare.push(await this.#latencies(publish, baseline));
      through.push(await this.#latencies(publish, subject));
    }
    const over = (rounds: number[][], share: number) => median(rounds.map((ms) => percentile(ms, share)));
    for (const [name, share, max] of shareTargets) {
      this.stage.figure({
        ...{ name: `${this.#name}_latency_${name}`, unit: "ms" },
        ...{ value: over(through, share), baseline: over(bare, share), target: { of: "value", max } },
      });
    }
  }

  async #latencies(publish: (text: string) => Promise<void>, connect: () => Promise<Consumer>) {
    await using _consumer = await connect();
    await this.#latenciesOf(publish, LATENCY.warmUpEvents);
    return await this.#latenciesOf(publish, this.stage.scaled(LATENCY.events, 20));
  }

  async #latenciesOf(publish: (text: string) => Promise<void>, events: number): Promise<number[]> {
    await this.api.reset([], true);
    const firstNumber = this.stage.takeNumbers();
    const sentAt: number[] = [];
    for (const text of eventTexts(firstNumber, events)) {
      sentAt.push(sharedNow());
      await publish(text);
      await new Promise((resolve) => setTimeout(resolve, LATENCY.spacingMs));
    }
    const { delivered } = await this.api.until(events, ARRIVAL_MS_MAX);
    if (delivered < events) throw new Error(`Only ${delivered} of ${events} events arrived at the API`);
    const arrivals = await this.api.arrivals();
    return sentAt.map((at, index) => (arrivals.get(firstNumber + index) ?? NaN) - at);
  }
}

const shareTargets = [
  ["p50", 0.5, LATENCY_TARGETS.p50Max],
  ["p99", 0.99, LATENCY_TARGETS.p99Max],
] as const;
