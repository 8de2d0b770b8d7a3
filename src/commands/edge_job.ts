/** `ilagent daemon --edge_mode …` inside the jail. */

import { runEdge } from "../edge.ts";
import type { EdgeConfig } from "../edge/edge_config.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogConfig, startLog } from "../runtime/log.ts";

export interface EdgeJob {
  kind: "edge";
  config: EdgeConfig;
  log: LogConfig;
  /** Said once at start. */
  warnings: string[];
}

export interface EdgeOutside {
  /** Called right before the database is opened, which may block for long. */
  onOpening: () => void;
  /** A Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
  /** Leads to the worker that runs the script; null in other modes. */
  script: MessagePort | null;
}

export async function runEdgeConnector(
  job: EdgeJob,
  stop: AbortSignal,
  { onOpening, onBrokerRefused, script }: EdgeOutside,
): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  onOpening();
  await runEdge(job.config, { clock: systemClock, random: Math.random, log, script, onBrokerRefused }, stop);
  return 0;
}
