/**
 * Messages of brokers in the file, beside the events:
 *
 *   keep ──▶ waiting ── settle ──▶ an event of the queue, or delivered, dropped, a dead letter
 *               ▲                                                                     │
 *               └──────────────────────── ilagent deadletter retry ───────────────────┘
 *
 * What waits was written by the Rust agent, or is a policy update that is not done yet, or a dead letter to be tried
 * anew. Each change is one durable transaction together with the ledger.
 */

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

/** A message that waits in the file to be mapped, or for its policy update. */
export interface KeptMessage extends QueuedMessage {
  readonly id: string;
  /** The order in which they were kept. */
  readonly place: number;
  /** In ms since the epoch. */
  readonly acceptedAt: number;
}

/** What becomes of a kept message. */
export type KeptEnd =
  | { kind: "event"; event: AlertEvent; apiPath: string }
  /** ilert has taken what it was about. */
  | { kind: "delivered" }
  /** It was not wanted; counts as purged. */
  | { kind: "dropped" }
  | { kind: "dead"; death: Death };

/** All reject with `QueueUnavailable`, and change nothing, where there is no room or the disk fails. */
export interface KeptMessages {
  /** Durable, and counted as accepted, when it resolves. `id` is new. */
  keep(id: string, message: QueuedMessage): Promise<KeptMessage>;
  /** Those kept after `place`, the oldest first. */
  after(place: number, limit: number): KeptMessage[];
  /** Durable when it resolves; one that an operator has removed meanwhile is left alone. */
  settle(kept: KeptMessage, end: KeptEnd): Promise<void>;
}

export interface DeadLetters {
  /** Durable, and counted as accepted, when it resolves. Rejects with `QueueUnavailable` where there is no room. */
  bury(letter: DeadLetter): Promise<void>;
}
