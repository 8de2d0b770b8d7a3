/** `ilagent daemon` inside the jail. */

import { type RelayConfig, runRelay } from "../relay.ts";
import { systemClock } from "../runtime/clock.ts";
import { type Log, type LogConfig, startLog } from "../runtime/log.ts";

export interface RelayJob {
  kind: "relay";
  config: RelayConfig;
  log: LogConfig;
  /** Said once at start. */
  warnings: string[];
}

/** What the main thread is told. */
export interface DaemonEvents {
  /** The database is opened next, which may block for long. */
  onOpening: () => void;
  onBrokerRefused: () => void;
}

export async function runDaemon(job: RelayJob, stop: AbortSignal, events: DaemonEvents): Promise<number> {
  await using logging = await startLog(job.log);
  const { log } = logging;
  for (const warning of job.warnings) log.warn(warning);
  events.onOpening();
  const onBrokerRefused = tellOnce(log, events.onBrokerRefused);
  await runRelay(job.config, { clock: systemClock, random: Math.random, log, onBrokerRefused }, stop);
  return 0;
}

/** Each attempt to connect is refused; the operator hears of each broker once. */
function tellOnce(log: Log, onBrokerRefused: () => void): (address: string) => void {
  const told = new Set<string>();
  return (address) => {
    if (!told.has(address)) {
      log.warn(
        "The Kafka broker {address} was not there when the agent started: looking for the brokers again, to start anew with them",
        { address },
      );
    }
    told.add(address);
    onBrokerRefused();
  };
}
