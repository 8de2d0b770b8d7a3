/** `ilagent daemon` inside the jail. */

import { type RelayConfig, runRelay } from "../relay.ts";
import { systemClock } from "../runtime/clock.ts";
import { type LogConfig, startLog } from "../runtime/log.ts";

export interface RelayJob {
  kind: "relay";
  config: RelayConfig;
  log: LogConfig;
  /** Said once at start. */
  warnings: string[];
}

/** `onOpening` is called right before the database is opened, which may block for long. */
export async function runDaemon(job: RelayJob, stop: AbortSignal, onOpening: () => void): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  onOpening();
  const onBrokerRefused = (address: string) =>
    log.error("The agent may not reach the Kafka broker {address}: it was not known at the start", {
      address,
    });
  await runRelay(job.config, { clock: systemClock, random: Math.random, log, onBrokerRefused }, stop);
  return 0;
}
