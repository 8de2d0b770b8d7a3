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

/** `onOpening` is called right before the database is opened, which may block for long. */
export async function runEdgeConnector(
  job: EdgeJob,
  stop: AbortSignal,
  onOpening: () => void,
): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  onOpening();
  await runEdge(job.config, { clock: systemClock, random: Math.random, log }, stop);
  return 0;
}
