/** A file with a million queued events: how soon the agent is there, and how much memory it takes to empty it. */

import { type AgentProcess, runAgent } from "../../tests/support/agent_process.ts";
import { fillBacklog } from "./backlog_file.ts";
import { hasProcessFigures, residentMegabytes } from "./process_figures.ts";
import { INTEGRATION_KEYS, type Stage } from "./stage.ts";
import { healthyAfter } from "./starting.ts";

const EVENTS = 1_000_000;
const SAMPLE_INTERVAL_MS = 100;
const START_MS_MAX = 120_000;
/** Slower than any agent worth measuring. */
const EVENTS_PER_SECOND_MIN = 300;
const TARGETS = { startMaxMs: 3_000, residentMax: 150 };

export async function million(stage: Stage): Promise<void> {
  const api = await stage.api();
  const events = stage.scaled(EVENTS, 1_000);
  const file = stage.newFile();
  const start = () => stage.startAgent({ apiUrl: api.url, file });

  // The first start of a new build unpacks it.
  await runAgent(["--version"], { command: stage.agentCommand, cwd: stage.folder });
  const empty = await healthyAfter(start, START_MS_MAX);
  const emptyResident = residentMegabytes(empty.agent.pid);
  await empty.agent.stop();
  await fillBacklog(file, events, stage.takeNumbers(), INTEGRATION_KEYS);
  const { size } = await Deno.stat(file);
  stage.note(`million: ${events} queued events in a file of ${(size / 1e6).toFixed(0)} MB`);

  const { agent, ms } = await healthyAfter(start, START_MS_MAX);
  const sampling = sampleResident(agent);
  stage.figure({
    name: "million_start_to_health",
    unit: "ms",
    value: ms,
    baseline: empty.ms,
    target: { of: "value", max: TARGETS.startMaxMs },
  });
  const timeoutMs = 30_000 + 1_000 * events / EVENTS_PER_SECOND_MIN;
  const { delivered, duplicates, firstAt, lastAt } = await api.until(events, timeoutMs);
  const residentMax = sampling.stop();
  if (hasProcessFigures()) {
    stage.figure({
      name: "million_rss_max",
      unit: "MB",
      value: residentMax,
      baseline: emptyResident,
      target: { of: "value", max: TARGETS.residentMax },
    });
  } else {
    stage.note("million: resident memory can be read on Linux only");
  }
  stage.figure({
    name: "million_drain",
    unit: "events/s",
    value: 1_000 * (delivered - 1) / ((lastAt ?? NaN) - (firstAt ?? NaN)),
  });
  stage.figure({
    name: "million_lost",
    unit: "events",
    value: events - delivered,
    target: { of: "value", max: 0 },
  });
  if (duplicates > 0) stage.note(`million: ${duplicates} events arrived twice`);
}

function sampleResident({ pid }: AgentProcess): { stop(): number } {
  let max = 0;
  const sample = () => max = Math.max(max, residentMegabytes(pid));
  const timer = setInterval(sample, SAMPLE_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      sample();
      return max;
    },
  };
}
