/** An agent that consumes from one broker: what was published and what ilert saw, side by side. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns } from "./agent_runs.ts";
import { Arrivals, idOf } from "./arrivals.ts";
import type { Feed, FeedMessage } from "./consumer_feeds.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

export interface MessageTotals {
  received: number;
  inFlight: number;
  /** By what became of them. */
  settled: Record<string, number>;
}

/** Contract §4: how soon `/ready` has to tell of a broker that is gone, or back. */
export const READY_MS_MAX = 10_000;
const LANES = 12;
const KEY = "il1api-faults";
const ARRIVED_MS_MAX = 60_000;
const METRIC = /^ilagent_messages_(received_total|in_flight|settled_total)\{(.*)\} (\d+)$/gm;

export class ConsumerRun implements AsyncDisposable {
  readonly feed: Feed;
  readonly ilert: IlertEmulator;
  readonly agent: AgentRuns;
  readonly arrivals: Arrivals;
  readonly #folder: TempFolder;
  /** Published and not arrived, as far as was looked. */
  readonly #owed = new Set<string>();
  readonly #publishedAt = new Map<string, number>();
  #published = 0;

  private constructor(
    feed: Feed,
    ilert: IlertEmulator,
    agent: AgentRuns,
    arrivals: Arrivals,
    folder: TempFolder,
  ) {
    this.feed = feed;
    this.ilert = ilert;
    this.agent = agent;
    this.arrivals = arrivals;
    this.#folder = folder;
  }

  static async of(feed: Feed, { command, seed }: Circumstances): Promise<ConsumerRun> {
    const arrivals = new Arrivals();
    const folder = new TempFolder();
    const ilert = await IlertEmulator.start({
      record: "counts",
      identify: Arrivals.identify,
      sequenceOf: Arrivals.sequenceOf,
      onAnswered: (request) => arrivals.add(request),
    });
    // Spread, so that at any moment some deliveries are in flight and lanes do not move in step.
    ilert.inject({ kind: "delay", ms: 2, on: "event" });
    ilert.inject({ kind: "delay", ms: 10, on: "event", fraction: 0.2, seed });
    const agent = await AgentRuns.of({
      ...{ command, file: folder.file("ilagent.db3"), ilertUrl: ilert.url, flags: feed.flags },
    });
    return new ConsumerRun(feed, ilert, agent, arrivals, folder);
  }

  get published(): number {
    return this.#published;
  }

  /** The next messages of all lanes, in turn. */
  async send(count: number): Promise<void> {
    const messages = Array.from({ length: count }, (_, index) => messageOf(this.#published + index));
    this.#published += count;
    const now = performance.now();
    for (const { key, n } of messages) this.#publishedAt.set(idOf(key, n), now);
    await this.feed.send(messages);
    for (const { key, n } of messages) this.#owed.add(idOf(key, n));
  }

  /** Published, and not arrived. */
  owed(): string[] {
    for (const id of this.#owed) if (this.arrivals.has(id)) this.#owed.delete(id);
    return [...this.#owed];
  }

  async allArrived(timeoutMs = ARRIVED_MS_MAX): Promise<void> {
    await this.arrivals.changed(() => !this.#isOwing(), timeoutMs)
      .catch((error: Error) => {
        const owed = this.owed();
        throw new Error(
          `${owed.length} are missing, such as ${owed.slice(0, 3).join(", ")}: ${error.message}`,
        );
      });
  }

  /** Asked after each of very many arrivals, so it looks no further than the first that is missing. */
  #isOwing(): boolean {
    for (const id of this.#owed) {
      if (!this.arrivals.has(id)) return true;
      this.#owed.delete(id);
    }
    return false;
  }

  /** Broken now: what is in flight may arrive again. */
  broken(): void {
    this.arrivals.killed(performance.now());
  }

  /** ms until `/ready` says so. */
  async readyIs(status: 204 | 503, timeoutMs = READY_MS_MAX): Promise<number> {
    const startedAt = performance.now();
    await until(
      async () => {
        // Nobody may listen yet.
        const now = await this.agent.status("/ready").catch(() => 0);
        return now === status;
      },
      `/ready answers ${status}`,
      timeoutMs,
    );
    return performance.now() - startedAt;
  }

  async totals(): Promise<MessageTotals> {
    const text = await (await fetch(`${this.agent.url}/metrics`)).text();
    const totals: MessageTotals = { received: 0, inFlight: 0, settled: {} };
    for (const [, name, labels = "", count] of text.matchAll(METRIC)) {
      const outcome = /outcome="(\w+)"/.exec(labels)?.[1];
      if (outcome !== undefined) totals.settled[outcome] = Number(count);
      else if (name === "received_total") totals.received = Number(count);
      else totals.inFlight = Number(count);
    }
    return totals;
  }

  /** Throws where received = settled + in flight does not hold. */
  async checkTotals(): Promise<MessageTotals> {
    const totals = await this.totals();
    const settled = Object.values(totals.settled).reduce((sum, count) => sum + count, 0);
    assert.equal(
      totals.received,
      settled + totals.inFlight,
      `received is not settled + in flight: ${JSON.stringify(totals)}`,
    );
    return totals;
  }

  /** All has arrived, in order, repeated only around what was `broken()`; the sums hold, and the agent ends. */
  async settle(findings: Findings, name: string, dead = 0): Promise<void> {
    await findings.attempt(`${name}.lost`, `none of ${this.published} messages`, () => this.allArrived());
    await findings.attempt(
      `${name}.sums`,
      "received = settled + in flight, and the ledger holds",
      async () => {
        await this.checkTotals();
        await until(
          async () => (await this.agent.audit()).queued === 0,
          "the queue is empty",
          ARRIVED_MS_MAX,
        );
        assert.equal(await this.agent.current.stop(), 0);
        const ledger = await this.agent.audit();
        assert.deepEqual({ holds: ledger.holds, dead: ledger.dead }, { holds: true, dead });
      },
    );
    const { orderViolations } = this.ilert.counts;
    findings.check(
      `${name}.order`,
      "no event overtook an earlier one of its lane",
      orderViolations === 0
        ? null
        : `${orderViolations}, such as ${JSON.stringify(this.ilert.orderViolations[0])}`,
    );
    const { agentRepeats, unexplained } = this.arrivals.repeats(
      this.feed.isBuffered ? (id) => this.#publishedAt.get(id) ?? Infinity : undefined,
    );
    findings.check(
      `${name}.repeats`,
      "only of what was in flight when something was killed or cut",
      unexplained.length === 0
        ? null
        : `${unexplained.length} others, such as ${unexplained.slice(0, 3).join(", ")}`,
    );
    findings.value(`${name}.repeated`, agentRepeats, "events", { value: this.published, name: "all" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.ilert[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

function messageOf(index: number): FeedMessage & { n: number } {
  const n = Math.floor(index / LANES) + 1;
  const key = `lane-${index % LANES}`;
  const value = JSON.stringify({
    ...{ integrationKey: KEY, eventType: "ALERT", summary: `Alert ${n}`, alertKey: key },
    customDetails: { n, attempt: 1 },
  });
  return { key, value, n };
}
