/** Durable intake at saturation, while what was taken leaves at the same time. */

import { join } from "node:path";
import { ProcessorShares } from "./process_figures.ts";
import type { LoadReport } from "./load_generator.ts";
import type { Stage } from "./stage.ts";
import { interleaved, median, percentile } from "./statistics.ts";
import { noteRounds } from "./throughput.ts";

const ROUNDS = 3;
const WARM_UP = { seconds: 2 };
const API_DELAY_MS = 5;
/** About a group of events. */
const DISK_WRITE_BYTES = 64 * 1_024, DISK_WRITES = 200;
const DRAIN_MS_MAX = 120_000;
const TARGETS = { ratioMin: 0.35, p99Max: 25, deliveriesMin: 1_000 };

export async function intake(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const [bare, agent] = await Promise.all([stage.bareServer(), stage.agent({ apiUrl: api.url })]);
  const until = { seconds: stage.options.seconds };
  const p99s: number[] = [], bareP99s: number[] = [], deliveries: number[] = [];
  const bareShares = new ProcessorShares(), agentShares = new ProcessorShares();
  let lost = 0, orderViolations = 0;

  await generator.load({ url: bare.url, until: WARM_UP });
  const warmUp = await generator.load({ url: agent.url, until: WARM_UP });
  await api.until(warmUp.accepted, DRAIN_MS_MAX);

  const baseline = async () => {
    const report = await bareShares.during(
      { "load generator": generator.pid, "bare server": bare.pid },
      () => generator.load({ url: bare.url, until }),
    );
    bareP99s.push(report.p99Ms);
    return rateOf(report);
  };
  const subject = async () => {
    await api.reset([{ kind: "delay", ms: API_DELAY_MS, on: "event" }]);
    const before = await api.state();
    const report = await agentShares.during(
      { "load generator": generator.pid, agent: agent.pid, "emulated API": api.pid },
      () => generator.load({ url: agent.url, until }),
    );
    const after = await api.state();
    p99s.push(report.p99Ms);
    deliveries.push(1_000 * after.delivered / (after.at - before.at));
    await api.faults([]);
    const end = await api.until(report.accepted, DRAIN_MS_MAX);
    lost += Math.max(0, report.accepted - end.delivered);
    orderViolations += end.orderViolations;
    return rateOf(report);
  };
  const rates = await interleaved(ROUNDS, baseline, subject);

  const { ratioMin, p99Max, deliveriesMin } = TARGETS;
  stage.figure({ name: "intake", unit: "events/s", ...rates, target: { of: "ratio", min: ratioMin } });
  stage.figure({
    name: "intake_p99",
    unit: "ms",
    value: median(p99s),
    baseline: median(bareP99s),
    target: { of: "value", max: p99Max },
  });
  stage.figure({
    name: "intake_deliveries",
    unit: "events/s",
    value: median(deliveries),
    target: { of: "value", min: deliveriesMin },
  });
  stage.figure({ name: "intake_lost", unit: "events", value: lost, target: { of: "value", max: 0 } });
  stage.figure({
    name: "intake_order_violations",
    unit: "events",
    value: orderViolations,
    target: { of: "value", max: 0 },
  });
  noteRounds(stage, "intake", rates);
  stage.note(`intake: ${await diskNote(stage.folder)}`);
  stage.note(`intake: use of a core in the baseline: ${bareShares}`);
  stage.note(`intake: use of a core with the agent: ${agentShares}`);

  await api.down();
  stage.figure({
    name: "intake_api_down",
    unit: "events/s",
    value: rateOf(await generator.load({ url: agent.url, until })),
    baseline: rates.baseline,
  });
}

/** What an event costs at least before it may be acknowledged. */
async function diskNote(folder: string): Promise<string> {
  using file = await Deno.open(join(folder, "fdatasync"), { create: true, write: true });
  const tookMs: number[] = [];
  for (let write = 0; write < DISK_WRITES; write++) {
    await file.write(new Uint8Array(DISK_WRITE_BYTES));
    const startedAt = performance.now();
    await file.syncData();
    tookMs.push(performance.now() - startedAt);
  }
  const [p50, p99] = [0.5, 0.99].map((share) => percentile(tookMs, share).toFixed(2));
  return `fdatasync of ${DISK_WRITE_BYTES / 1_024} kB appended takes p50 ${p50} ms, p99 ${p99} ms here`;
}

function rateOf({ accepted, seconds }: LoadReport): number {
  return accepted / seconds;
}
