/** `ilagent daemon` inside the jail. */

import { type RelayConfig, runRelay } from "../relay.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogConfig, startLog } from "../runtime/log.ts";
import { type DaemonEvents, refusalsToldOnce } from "./daemon_events.ts";

export interface RelayJob {
  kind: "relay";
  config: RelayConfig;
  log: LogConfig;
  /** Said once at start. */
  warnings: string[];
}

export async function runDaemon(job: RelayJob, stop: AbortSignal, events: DaemonEvents): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  events.onOpening();
  const onBrokerRefused = refusalsToldOnce(log, events);
  await runRelay(job.config, { clock: systemClock, random: Math.random, log, onBrokerRefused }, stop);
  return 0;
}
