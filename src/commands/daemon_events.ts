/** What a daemon inside the jail tells the main thread. */

import type { Log } from "../runtime/log.ts";

export interface DaemonEvents {
  /** The database is opened next, which may block for long. */
  onOpening: () => void;
  /** A Kafka broker may not be reached: the others have to be found anew. */
  onBrokerRefused: () => void;
}

/** Each attempt to connect is refused; the operator hears of each broker once. */
export function refusalsToldOnce(
  log: Log,
  { onBrokerRefused }: Pick<DaemonEvents, "onBrokerRefused">,
): (address: string) => void {
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
