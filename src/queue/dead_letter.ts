/** What is kept of an event or a message that cannot be delivered and was never a row of the queue. */

import type { AlertEvent } from "../domain/event.ts";
import type { BrokerKind } from "../domain/topics.ts";

export type DeadLetter = DeadEvent | DeadMessage;

/** Why nothing more is tried. */
export interface Death {
  status: number | null;
  reason: string;
  responseBody: string | null;
  /** Failed attempts. */
  attempts: number;
}

/** An event that ilert has refused. */
export interface DeadEvent {
  kind: "event";
  event: AlertEvent;
  apiPath: string | null;
  /** Where it came from. */
  topic: string;
  /** In ms since the epoch. */
  acceptedAt: number;
  death: Death;
}

/** A message of which nothing could be made, or whose policy update failed for good. */
export interface DeadMessage {
  kind: "message";
  message: QueuedMessage;
  death: Death;
}

/** A message as the queue keeps it. */
export interface QueuedMessage {
  readonly broker: BrokerKind;
  readonly topic: string;
  readonly payload: Uint8Array | string;
  /** Kafka's message key. */
  readonly key: string | null;
}

export interface DeadLetters {
  /** Durable, and counted as accepted, when it resolves. Rejects with `QueueUnavailable` where there is no room. */
  bury(letter: DeadLetter): Promise<void>;
}
