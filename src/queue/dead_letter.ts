/** What is kept of an event or a message that cannot be delivered and was never a row of the queue. */

import type { AlertEvent } from "../domain/event.ts";

export type DeadLetter = DeadEvent | DeadMessage;

/** An event that ilert has refused. */
export interface DeadEvent {
  kind: "event";
  event: AlertEvent;
  apiPath: string | null;
  /** Where it came from. */
  topic: string;
  status: number | null;
  reason: string;
  responseBody: string | null;
  attempts: number;
  /** In ms since the epoch. */
  acceptedAt: number;
}

/** A message that could not be made an event, a heartbeat or a policy update, or whose policy update failed for good. */
export interface DeadMessage {
  kind: "mqtt" | "kafka";
  topic: string;
  payload: Uint8Array;
  /** Kafka's message key. */
  key: string | null;
  reason: string;
}

export interface DeadLetters {
  /** Durable, and counted as accepted, when it resolves. Rejects with `QueueUnavailable` where there is no room. */
  bury(letter: DeadLetter): Promise<void>;
}
