/**
 * Policy updates on their way from a message to ilert, without ever holding back the events behind them.
 *
 *   direct:    take ──▶ updating ── done ─────────────▶ acknowledged
 *                          └─ not within HOLD_MS ─────▶ kept in the file, acknowledged; it goes on from there
 *   buffered:  take ──▶ kept in the file, acknowledged ──▶ updating
 *
 * The updates of one policy are made in the order of their messages: while some wait in the file, later ones go there
 * too.
 */

import type { PolicyUpdate } from "../domain/policy_update.ts";
import type { DeadLetters, Death, QueuedMessage } from "../queue/messages.ts";
import { QueueUnavailable } from "../queue/queue.ts";
import type { Clock } from "../runtime/clock.ts";
import type { MessageEnd } from "./message_counts.ts";

export type PolicyEnd = { kind: "applied" } | { kind: "dead" } & Death;

export interface PolicyUpdater {
  /** Until it is done or has failed for good, in order for each routing key. Rejects only when `signal` is aborted. */
  run(update: PolicyUpdate, signal: AbortSignal): Promise<PolicyEnd>;
}

/** Messages in the file. Both reject with `QueueUnavailable` where there is no room. */
export interface PolicyBacklog {
  /** Whether updates wait there that must be made first. */
  readonly hasPolicies: boolean;
  keep(message: QueuedMessage): Promise<void>;
  /** One whose update is under way already. */
  keepRunning(message: QueuedMessage, running: Promise<PolicyEnd>): Promise<void>;
}

/** How long ilert may take before the message is kept in the file instead of at the broker. */
const HOLD_MS = 5_000;

export class PolicyIntake {
  readonly #isBuffered: boolean;
  readonly #updater: PolicyUpdater;
  readonly #backlog: PolicyBacklog;
  readonly #letters: DeadLetters;
  readonly #clock: Clock;
  /** For each message that the broker still has, in the order of the calls: ends its hold. */
  readonly #held = new Set<() => void>();

  constructor(
    isBuffered: boolean,
    updater: PolicyUpdater,
    backlog: PolicyBacklog,
    letters: DeadLetters,
    clock: Clock,
  ) {
    this.#isBuffered = isBuffered;
    this.#updater = updater;
    this.#backlog = backlog;
    this.#letters = letters;
    this.#clock = clock;
  }

  /** Rejects with `QueueUnavailable` where its message or dead letter has no room, and when `signal` is aborted. */
  async take(update: PolicyUpdate, message: QueuedMessage, signal: AbortSignal): Promise<MessageEnd> {
    if (this.#isBuffered || this.#backlog.hasPolicies) {
      // Into the file before this one, or they would be made after it at the next start.
      for (const endHold of this.#held) endHold();
      await this.#backlog.keep(message);
      return "stored";
    }
    const end = await this.#run(update, message, signal);
    if (end === null) return "stored";
    if (end.kind === "applied") return "policy";
    await this.#letters.bury({ kind: "message", message, death: end });
    return "dead_letter";
  }

  /** Null when it goes on from the file; while that has no room, the broker keeps the message. */
  async #run(update: PolicyUpdate, message: QueuedMessage, signal: AbortSignal): Promise<PolicyEnd | null> {
    const running = new AbortController();
    const stop = () => running.abort(signal.reason);
    const updated = this.#updater.run(update, running.signal);
    for (;;) {
      const held = Promise.withResolvers<{ isKept: Promise<boolean> }>();
      const letGo = () => {
        this.#held.delete(endHold);
        signal.removeEventListener("abort", stop);
      };
      const endHold = () => {
        // It goes on from here even where the broker takes its message back.
        letGo();
        held.resolve({ isKept: this.#keepRunning(message, updated) });
      };
      this.#held.add(endHold);
      signal.addEventListener("abort", stop);
      if (signal.aborted) stop();
      const cancel = this.#clock.after(HOLD_MS, endHold);
      const first = await Promise.race([updated, held.promise]).finally(() => {
        cancel();
        letGo();
      });
      if (!("isKept" in first)) return first;
      if (await first.isKept) return null;
    }
  }

  async #keepRunning(message: QueuedMessage, updated: Promise<PolicyEnd>): Promise<boolean> {
    try {
      await this.#backlog.keepRunning(message, updated);
      return true;
    } catch (error) {
      if (error instanceof QueueUnavailable) return false;
      throw error;
    }
  }
}
