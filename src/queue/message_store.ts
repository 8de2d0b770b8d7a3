/** The port of `messages.ts` on the queue's own file. */

import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../runtime/clock.ts";
import { MessageRows } from "./message_rows.ts";
import type {
  DeadLetter,
  DeadLetters,
  KeptEnd,
  KeptMessage,
  KeptMessages,
  QueuedMessage,
} from "./messages.ts";
import { type QueuedEvent, QueueUnavailable } from "./queue.ts";

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
  /** Where `arriving` more are on their way. */
  fullOfDeadLetters(arriving: number): string | null;
  /** `apply` runs inside a transaction, again after a rollback. Durable when it resolves; rejects with `QueueUnavailable`. */
  change(apply: (enqueue: (event: QueuedEvent) => void) => Counted): Promise<void>;
}

/** After which a sender may try again when a bound is reached. */
const FULL_RETRY_SECONDS = 10;

export class MessageStore implements KeptMessages, DeadLetters {
  readonly #rows: MessageRows;
  readonly #file: SharedFile;
  readonly #clock: Clock;
  /** Dead letters that wait for their commit. */
  #dying = 0;

  constructor(db: DatabaseSync, file: SharedFile, clock: Clock) {
    this.#rows = new MessageRows(db);
    this.#file = file;
    this.#clock = clock;
  }

  async bury(letter: DeadLetter): Promise<void> {
    const now = this.#clock.now();
    await this.#changeDying(() => {
      if (letter.kind === "event") this.#rows.buryEvent(letter, now);
      else this.#rows.buryMessage(crypto.randomUUID(), letter.message, letter.death, now, now);
      return { accepted: 1, dead: 1 };
    });
  }

  async keep(id: string, message: QueuedMessage): Promise<KeptMessage> {
    refuseWhere(this.#file.full);
    const acceptedAt = this.#clock.now();
    let place = 0;
    await this.#file.change(() => {
      place = this.#rows.insert(id, message, acceptedAt);
      return { accepted: 1, queued: 1 };
    });
    return { ...message, id, place, acceptedAt };
  }

  after(place: number, limit: number): KeptMessage[] {
    return this.#rows.after(place, limit);
  }

  count(): number {
    return this.#rows.count();
  }

  /** In ms since the epoch; null where no message waits. */
  oldestAcceptedAt(): number | null {
    return this.#rows.oldestAcceptedAt();
  }

  async settle(kept: KeptMessage, end: KeptEnd): Promise<void> {
    const now = this.#clock.now();
    const change: SharedFile["change"] = end.kind === "dead"
      ? (apply) => this.#changeDying(apply)
      : (apply) => this.#file.change(apply);
    await change((enqueue) => {
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

  async #changeDying(apply: Parameters<SharedFile["change"]>[0]): Promise<void> {
    refuseWhere(this.#file.fullOfDeadLetters(this.#dying));
    this.#dying++;
    try {
      await this.#file.change(apply);
    } finally {
      this.#dying--;
    }
  }
}

function refuseWhere(full: string | null): void {
  if (full !== null) throw new QueueUnavailable(full, FULL_RETRY_SECONDS);
}
