/**
 * Where an accepted event lives until ilert has it.
 *
 *   enqueue            claim              settle
 *   ───────▶ queued ──────────▶ sending ─────────▶ delivered   the row is deleted
 *              ▲                   │
 *              │ retry is due      ├─────────────▶ waiting     attempts, retry at, last error in the row
 *              └───────────────────┼──── waiting
 *                                  └─────────────▶ dead        the row moves to `dead_letters`
 *
 * queued, waiting and dead are on disk; each change is one durable transaction together with the ledger. sending is
 * only in memory: after a crash such an event is queued again, which is the one way a delivery is repeated.
 *
 * A lane is all events with one integration key and one alert key. Only the first event of a lane, its head, can be
 * claimed; the next becomes the head in the transaction that settles it. Events without an alert key are each a lane.
 */

import type { AlertEvent } from "../domain/event.ts";

export interface QueuedEvent {
  readonly id: string;
  readonly event: AlertEvent;
  /** Path below `{api}/api`; null means `/events`. */
  readonly apiPath: string | null;
  /** Failed attempts that counted, over all runs of the agent. */
  readonly attempts: number;
  /** When it was accepted, in ms since the epoch. */
  readonly acceptedAt: number;
}

export type Settlement =
  | { kind: "delivered" }
  | { kind: "waiting"; attempts: number; nextAttemptAt: number; lastError: string }
  | { kind: "dead"; attempts: number; status: number | null; reason: string; responseBody: string | null };

export interface EventQueue {
  /** Durable when it resolves. Rejects with `QueueUnavailable` and stores nothing when it cannot be. */
  enqueue(event: AlertEvent, apiPath: string | null): Promise<QueuedEvent>;
  /** The next head whose integration key is not paused; null when there is none now. Never blocks. */
  claim(isPaused: (integrationKey: string) => boolean): QueuedEvent | null;
  /**
   * One head to try the API with, due or not: the first of an integration key outside `failedKeys`, else the next in
   * rotation over all lanes.
   */
  claimProbe(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null;
  /** Resolves when durable; while the disk fails it keeps trying and the lane stays claimed. */
  settle(claimed: QueuedEvent, settlement: Settlement): Promise<void>;
  /** The head of an integration key outside `failedKeys` whose event arrived since the last probe; null where there is none. */
  claimUntried(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null;
  /** Gives a claimed event back as if it had not been tried. */
  release(claimed: QueuedEvent): void;
  /** When the first waiting event is due, in ms since the epoch; null when none is waiting. */
  nextDueAt(): number | null;
}

/** The queue cannot take an event now. `message` is one clause for the sender and the log. */
export class QueueUnavailable extends Error {
  constructor(message: string, readonly retryAfterSeconds: number, options?: ErrorOptions) {
    super(message, options);
  }
}
