/** How the relay is doing: for `/metrics`, `/ready`, the log and the alarm key. */

import type { Figures } from "../clients/prometheus.ts";
import type { Troubles } from "../delivery/alarm.ts";
import type { DeliveryLoop } from "../delivery/delivery_loop.ts";
import type { SqliteQueue } from "../queue/sqlite_queue.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Readiness } from "../server/http_server.ts";
import type { Consumers } from "./consumers.ts";

/** Of the nearest bound. */
const NEARLY_FULL = 0.8;

/** Of the first that is not ready: the brokers, then the agent's own file. */
export function readinessOf(queue: SqliteQueue, consumers: Consumers | null): Readiness {
  const error = queue.failure ?? queue.full;
  return consumers?.readiness ?? (error === null ? null : { component: "daemon", error });
}

/** Over both ways to ilert: out of the file, and past it. */
export function deliveryStateOf(delivery: DeliveryLoop, consumers: Consumers | null): DeliveryLoop["state"] {
  const { inFlight, pausedKeys, outageSince } = delivery.state;
  const direct = consumers?.deliveryState ?? { inFlight: 0, pausedKeys: 0, outageSince: null };
  return {
    inFlight: inFlight + direct.inFlight,
    pausedKeys: pausedKeys + direct.pausedKeys,
    outageSince: outageSince ?? direct.outageSince,
  };
}

export function figuresOf(
  queue: SqliteQueue,
  delivery: DeliveryLoop,
  consumers: Consumers | null,
  clock: Clock,
): Figures {
  const { inFlight, pausedKeys, outageSince } = deliveryStateOf(delivery, consumers);
  const oldestAt = earliest(queue.oldestAcceptedAt(), queue.messages.oldestAcceptedAt());
  return {
    ...queue.ledger,
    ...queue.counts,
    fill: queue.nearestBound.fill,
    oldestSeconds: oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt) / 1000,
    inFlight,
    pausedKeys,
    outage: outageSince !== null,
    storageFailing: queue.failure !== null,
    messages: consumers?.figures ?? [],
  };
}

/** `deadBefore` are dead letters that nobody is to be told of. */
export function troublesOf(queue: SqliteQueue, deadBefore: number): Troubles {
  const troubles = new Map<string, string>();
  const { failure, nearestBound: { fill, name }, counts } = queue;
  if (failure !== null) troubles.set("disk", `ilagent cannot store events: ${failure}.`);
  if (fill >= NEARLY_FULL) {
    troubles.set("queue-full", `ilagent's ${name} is ${Math.floor(fill * 100)}% full.`);
  }
  if (counts.dead > deadBefore) {
    troubles.set("dead-letters", `ilagent has ${counts.dead} dead letters; see 'ilagent deadletter list'.`);
  }
  return troubles;
}

/** Says once when the queue stops taking events, and once when it takes them again. */
export function storageWatch(queue: SqliteQueue, log: Log): () => void {
  let told: string | null = null;
  return () => {
    const trouble = queue.failure ?? queue.full;
    if (trouble === told) return;
    if (trouble === null) log.warn("Events are accepted again");
    else log.error("No events are accepted: {trouble}", { trouble });
    told = trouble;
  };
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.min(a, b);
}
