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

import type { DatabaseSync } from "node:sqlite";
import type { AlertEvent } from "../domain/event.ts";
import type { Clock } from "../runtime/clock.ts";
import type { DeadLetter, DeadLetters, Death, QueuedMessage } from "./dead_letter.ts";
import { type KeptMessage, MessageRows } from "./message_rows.ts";
import { type QueuedEvent, QueueUnavailable } from "./queue.ts";

/** What becomes of a kept message. */
export type MessageEnd =
  | { kind: "event"; event: AlertEvent; apiPath: string }
  /** ilert has taken what it was about. */
  | { kind: "delivered" }
  /** It was not wanted; counts as purged. */
  | { kind: "dropped" }
  | { kind: "dead"; death: Death };

/** What one change adds to the ledger and to the counts of rows. */
export interface Counted {
  accepted?: number;
  delivered?: number;
  purged?: number;
  queued?: number;
  dead?: number;
}

/** The queue whose file it is. */
export interface SharedFile {
  /** Why there is no room for another row, as one clause; null while there is. */
  readonly full: string | null;
  readonly fullOfDeadLetters: string | null;
  /** `apply` runs inside a transaction, again after a rollback. Durable when it resolves; rejects with `QueueUnavailable`. */
  change(apply: (enqueue: (event: QueuedEvent) => void) => Counted): Promise<void>;
}

/** After which a sender may try again when a bound is reached. */
const FULL_RETRY_SECONDS = 10;

export class MessageStore implements DeadLetters {
  readonly #rows: MessageRows;
  readonly #file: SharedFile;
  readonly #clock: Clock;

  constructor(db: DatabaseSync, file: SharedFile, clock: Clock) {
    this.#rows = new MessageRows(db);
    this.#file = file;
    this.#clock = clock;
  }

  async bury(letter: DeadLetter): Promise<void> {
    refuseWhere(this.#file.fullOfDeadLetters);
    const now = this.#clock.now();
    await this.#file.change(() => {
      if (letter.kind === "event") this.#rows.buryEvent(letter, now);
      else this.#rows.buryMessage(crypto.randomUUID(), letter.message, letter.death, now, now);
      return { accepted: 1, dead: 1 };
    });
  }

  /** Durable when it resolves. Rejects with `QueueUnavailable` and keeps nothing when it cannot be. */
  async keep(message: QueuedMessage): Promise<KeptMessage> {
    refuseWhere(this.#file.full);
    const id = crypto.randomUUID();
    const acceptedAt = this.#clock.now();
    let place = 0;
    await this.#file.change(() => {
      place = this.#rows.insert(id, message, acceptedAt);
      return { accepted: 1, queued: 1 };
    });
    return { ...message, id, place, acceptedAt };
  }

  /** Those kept after `place`, the oldest first. */
  after(place: number, limit: number): KeptMessage[] {
    return this.#rows.after(place, limit);
  }

  oldestAcceptedAt(): number | null {
    return this.#rows.oldestAcceptedAt();
  }

  /** Durable when it resolves; one that an operator has removed meanwhile is left alone. Rejects with `QueueUnavailable`. */
  async settle(kept: KeptMessage, end: MessageEnd): Promise<void> {
    if (end.kind === "dead") refuseWhere(this.#file.fullOfDeadLetters);
    const now = this.#clock.now();
    await this.#file.change((enqueue) => {
      if (!this.#rows.remove(kept.id)) return {};
      switch (end.kind) {
        case "event":
          enqueue({ id: kept.id, ...end, attempts: 0, acceptedAt: kept.acceptedAt });
          return {};
        case "delivered":
          return { queued: -1, delivered: 1 };
        case "dropped":
          return { queued: -1, purged: 1 };
        case "dead":
          this.#rows.buryMessage(kept.id, kept, end.death, kept.acceptedAt, now);
          return { queued: -1, dead: 1 };
      }
    });
  }
}

function refuseWhere(full: string | null): void {
  if (full !== null) throw new QueueUnavailable(full, FULL_RETRY_SECONDS);
}
