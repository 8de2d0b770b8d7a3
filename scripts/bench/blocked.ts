/** Events that ilert does not take, in front of others that it would. */

import type { Fault } from "../../tests/support/ilert_faults.ts";
import { latenciesOf } from "./latency.ts";
import type { ApiClient, LoadClient, Stage } from "./stage.ts";
import { median, percentile } from "./statistics.ts";

const BLOCKED_KEY = "bench-blocked";
const BLOCKED_EVENTS = 100;
/** Enough for a p99 that is not one single event. */
const OTHERS = 500;
const WARM_UP_EVENTS = 100;
const ROUNDS = 2;
const STATUSES = [429, 500] as const;
const RANDOM_EVENTS = 200, RANDOM_FRACTION = 0.05, RANDOM_RUNS = 5;
const DELIVERY_MS_MAX = 30_000;
const TARGETS = { growthMaxMs: 100, allWithinMs: 5_000 };

export async function blocked(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const free: number[] = [await othersP99(stage, api, generator, null)];
  for (const status of STATUSES) {
    const growths: number[] = [], p99s: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const p99 = await othersP99(stage, api, generator, status);
      free.push(await othersP99(stage, api, generator, null));
      p99s.push(p99);
      growths.push(p99 - median(free.slice(-2)));
    }
    stage.figure({
      name: `blocked_by_${status}_p99`,
      unit: "ms",
      value: median(p99s),
      baseline: median(free.slice(-1 - ROUNDS)),
    });
    stage.figure({
      name: `blocked_by_${status}_p99_growth`,
      unit: "ms",
      value: median(growths),
      target: { of: "value", max: TARGETS.growthMaxMs },
    });
  }
  await randomFailures(stage, api, generator);
  stage.note(
    `blocked: ${OTHERS} events of other keys, one each 10 ms, behind ${BLOCKED_EVENTS} of one key that ilert always refuses`,
  );
}

/** With a new agent each time: what is blocked would stay in its file. */
async function othersP99(
  stage: Stage,
  api: ApiClient,
  generator: LoadClient,
  status: number | null,
): Promise<number> {
  const agent = await stage.agent({ apiUrl: api.url });
  await api.reset([], true);
  await latenciesOf(agent.url, WARM_UP_EVENTS, api, generator);
  if (status !== null) {
    await api.faults([{ kind: "status", status, on: "event", key: BLOCKED_KEY }]);
    const until = { events: BLOCKED_EVENTS };
    await generator.load({ url: agent.url, until, integrationKeys: [BLOCKED_KEY] });
  }
  const latencies = await latenciesOf(agent.url, OTHERS, api, generator);
  await agent.kill();
  return percentile(latencies, 0.99);
}

async function randomFailures(stage: Stage, api: ApiClient, generator: LoadClient): Promise<void> {
  const agent = await stage.agent({ apiUrl: api.url });
  const tookMs: number[] = [];
  for (let run = 1; run <= RANDOM_RUNS; run++) {
    const fault: Fault = { kind: "status", status: 500, on: "event", fraction: RANDOM_FRACTION, seed: run };
    await api.reset([fault]);
    const { accepted, startedAt } = await generator.load({
      url: agent.url,
      until: { events: RANDOM_EVENTS },
    });
    const { delivered, lastAt } = await api.until(accepted, DELIVERY_MS_MAX);
    tookMs.push(delivered < accepted ? NaN : (lastAt ?? NaN) - startedAt);
  }
  stage.figure({
    name: "random_500s_all_delivered",
    unit: "ms",
    value: Math.max(...tookMs),
    target: { of: "value", max: TARGETS.allWithinMs },
  });
  stage.note(
    `blocked: ${RANDOM_EVENTS} events with 5% random 500s, the slowest of ${RANDOM_RUNS} runs; median ${
      median(tookMs).toFixed(0)
    } ms`,
  );
}
