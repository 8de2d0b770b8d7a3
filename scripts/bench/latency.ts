/** An idle agent and one event at a time. A latency starts before the POST is sent and ends at arrival at the API. */

import type { ApiClient, LoadClient, Stage } from "./stage.ts";
import { median, percentile } from "./statistics.ts";

const ROUNDS = 3;
const EVENTS = 200;
const WARM_UP_EVENTS = 200;
const SPACING_MS = 10;
const ARRIVAL_MS_MAX = 30_000;
const TARGETS = { p50Max: 5, p99Max: 25 };

/** In the order of sending; rejects when some do not arrive. */
export async function latenciesOf(
  url: string,
  events: number,
  api: ApiClient,
  generator: LoadClient,
): Promise<number[]> {
  const order = { url, connections: 1, spacingMs: SPACING_MS, until: { events } };
  const { firstNumber, sentAt } = await generator.load(order);
  const deadline = performance.now() + ARRIVAL_MS_MAX;
  for (;;) {
    const arrivals = await api.arrivals();
    const latencies = sentAt.flatMap((at, index) => {
      const arrivedAt = arrivals.get(firstNumber + index);
      return arrivedAt === undefined ? [] : [arrivedAt - at];
    });
    if (latencies.length === events) return latencies;
    if (performance.now() > deadline) {
      throw new Error(`Only ${latencies.length} of ${events} events arrived at the API`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function latency(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const agent = await stage.agent({ apiUrl: api.url });
  const events = stage.scaled(EVENTS, 20);
  const through: number[][] = [], direct: number[][] = [];
  const measure = async (url: string) => {
    await api.reset([], true);
    return await latenciesOf(url, events, api, generator);
  };

  await api.reset([], true);
  for (const url of [api.url, agent.url]) await latenciesOf(url, WARM_UP_EVENTS, api, generator);
  direct.push(await measure(api.url));
  for (let round = 0; round < ROUNDS; round++) {
    through.push(await measure(agent.url));
    direct.push(await measure(api.url));
  }

  const over = (rounds: number[][], share: number) =>
    median(rounds.map((latencies) => percentile(latencies, share)));
  for (const [name, share, max] of [["p50", 0.5, TARGETS.p50Max], ["p99", 0.99, TARGETS.p99Max]] as const) {
    stage.figure({
      name: `latency_${name}`,
      unit: "ms",
      value: over(through, share),
      baseline: over(direct, share),
      target: { of: "value", max },
    });
  }
  stage.note(
    "latency: from before the POST is sent to its arrival at the API; baseline: posted to the API directly",
  );
}
