/** The two ways of a message's event: into the queue, or past it to ilert while the broker keeps the message. */

import type { AlertEvent } from "../domain/event.ts";
import type { EventQueue } from "../queue/queue.ts";
import type { MessageIntakes } from "./message_router.ts";

type EventIntake = MessageIntakes["events"];

export interface BoundedQueue extends Pick<EventQueue, "enqueue"> {
  /** Why it takes nothing now; null while it does. */
  readonly full: string | null;
  readonly failure: string | null;
}

export interface DirectDelivery {
  hasRoom(): boolean;
  deliver(
    event: AlertEvent,
    apiPath: string | null,
    topic: string,
    signal: AbortSignal,
  ): Promise<"delivered" | "dead">;
}

/** Settled when it is durable. */
export function bufferedEvents(queue: BoundedQueue): EventIntake {
  return {
    hasRoom: () => queue.full === null && queue.failure === null,
    take: ({ event, apiPath }) => queue.enqueue(event, apiPath).then(() => "stored"),
  };
}

/** Settled when ilert has taken it, or it is a durable dead letter. */
export function directEvents(direct: DirectDelivery): EventIntake {
  return {
    hasRoom: () => direct.hasRoom(),
    take: ({ event, apiPath }, { topic }, signal) =>
      direct.deliver(event, apiPath, topic, signal)
        .then((end) => end === "dead" ? "dead_letter" : "delivered"),
  };
}
