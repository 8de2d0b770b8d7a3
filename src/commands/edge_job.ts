/** `ilagent daemon --edge_mode …` inside the jail. */

import { runEdge } from "../edge.ts";
import type { EdgeConfig } from "../edge/edge_config.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogConfig, startLog } from "../runtime/log.ts";
import { type DaemonEvents, refusalsToldOnce } from "./daemon_events.ts";

export interface EdgeJob {
  kind: "edge";
  config: EdgeConfig;
  log: LogConfig;
  /** Said once at start. */
  warnings: string[];
}

/** `script` leads to the worker that runs the script; null in other modes. */
export async function runEdgeConnector(
  job: EdgeJob,
  stop: AbortSignal,
  events: DaemonEvents,
  script: MessagePort | null,
): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  events.onOpening();
  const onBrokerRefused = refusalsToldOnce(log, events);
  await runEdge(job.config, { clock: systemClock, random: Math.random, log, script, onBrokerRefused }, stop);
  return 0;
}
