/** An edge loop with ilert, target, disk and time in the hands of the test. */

import type { EdgeItem } from "../../src/domain/edge_item.ts";
import { EdgeHealth } from "../../src/edge/edge_health.ts";
import { EdgeLoop } from "../../src/edge/edge_loop.ts";
import { KeptProgress, ReportedProgress, type Role } from "../../src/edge/progress.ts";
import { Settler } from "../../src/edge/settler.ts";
import type { PollAnswer, PolledItem, PollQuery } from "../../src/ilert/edge_api.ts";
import type { Sink, SinkOutcome } from "../../src/sinks/sink.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryEdgeStore } from "../support/memory_edge_store.ts";
import { memoryLog } from "../support/memory_log.ts";

export const POLL_MS = 10_000;
export const STANDBY_MS = 7_000;

export class FakeIlert {
  items: PolledItem[] = [];
  role: Role | null = null;
  /** Given instead, one for each poll. */
  answers: PollAnswer[] = [];
  /** Seconds since the start, and the id that was asked with. */
  readonly polls: { at: number; id: string | null }[] = [];
  /** What each poll waits for. */
  delay: () => Promise<void> = () => Promise.resolve();
  readonly #clock: FakeClock;
  readonly #start: number;

  constructor(clock: FakeClock) {
    this.#clock = clock;
    this.#start = clock.monotonic();
  }

  add(...items: EdgeItem[]): void {
    this.items.push(...items.map((item): PolledItem => ({ kind: "item", item })));
  }

  async poll(query: PollQuery, signal: AbortSignal): Promise<PollAnswer> {
    const id = query.kind === "single" ? query.afterId : query.lastProcessedId;
    this.polls.push({ at: (this.#clock.monotonic() - this.#start) / 1000, id });
    await this.delay();
    if (signal.aborted) return { kind: "failed", reason: "aborted", retryAfterMs: null };
    const answer = this.answers.shift();
    if (answer !== undefined) return answer;
    if (this.role === "standby") return { kind: "batch", items: [], isFull: false, role: "standby" };
    const passed = this.items.findLastIndex((polled) => {
      const own = polled.kind === "item" ? polled.item.id : polled.id;
      return own !== null && BigInt(own) <= BigInt(id ?? "0");
    });
    const items = this.items.slice(passed + 1, passed + 101);
    return { kind: "batch", items, isFull: items.length === 100, role: this.role };
  }
}

export class FakeSink implements Sink {
  readonly itemsMax: number;
  /** Ids in the order in which they were taken. */
  readonly taken: string[] = [];
  /** Ids of each call. */
  readonly calls: string[][] = [];
  outcome: (item: EdgeItem) => SinkOutcome | Promise<SinkOutcome> = () => ({ kind: "delivered" });

  constructor(itemsMax: number) {
    this.itemsMax = itemsMax;
  }

  async *deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    this.calls.push(items.map(({ id }) => id));
    const aborted = new Promise<SinkOutcome>((resolve) =>
      signal.addEventListener("abort", () => resolve({ kind: "retry", reason: "aborted" }))
    );
    for (const [at, item] of items.entries()) {
      if (at > 0 && !mayGoOn()) return;
      const outcome = await Promise.race([Promise.resolve(this.outcome(item)), aborted]);
      if (outcome.kind === "delivered") this.taken.push(item.id);
      yield outcome;
      if (outcome.kind === "retry") return;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export class Counts {
  readonly polls: string[] = [];
  items = { received: 0, delivered: 0, skipped: 0, givenBack: 0, stopped: 0 };

  polled(result: string): void {
    this.polls.push(result);
  }
  received(count: number): void {
    this.items.received += count;
  }
  delivered(): void {
    this.items.delivered++;
  }
  skipped(): void {
    this.items.skipped++;
  }
  givenBack(count: number): void {
    this.items.givenBack += count;
  }
  stopped(): void {
    this.items.stopped++;
  }
}

export interface EdgeSetting extends AsyncDisposable {
  clock: FakeClock;
  log: ReturnType<typeof memoryLog>;
  ilert: FakeIlert;
  sink: FakeSink;
  store: MemoryEdgeStore;
  health: EdgeHealth;
  counts: Counts;
  loop: EdgeLoop;
}

export function edgeSetting(
  { itemsMax = 1, cluster = false, cursor = "0" }: { itemsMax?: number; cluster?: boolean; cursor?: string } =
    {},
): EdgeSetting {
  const clock = new FakeClock();
  const log = memoryLog();
  const ilert = new FakeIlert(clock);
  const sink = new FakeSink(itemsMax);
  const store = new MemoryEdgeStore();
  store.cursor = cursor;
  const health = new EdgeHealth(1e12, { clock, log });
  const counts = new Counts();
  const deps = { clock, log, health, observer: counts, random: () => 0 };
  const progress = cluster
    ? new ReportedProgress({ clusterId: "c", instanceId: "i" })
    : new KeptProgress(store);
  const settler = new Settler(sink, store, progress, deps);
  const loop = new EdgeLoop(ilert, settler, progress, { pollMs: POLL_MS, standbyMs: STANDBY_MS }, deps);
  return {
    clock,
    log,
    ilert,
    sink,
    store,
    health,
    counts,
    loop,
    async [Symbol.asyncDispose]() {
      store.releaseDisk();
      const stopped = loop.stop(0);
      await clock.advance(10_000);
      await stopped;
    },
  };
}
