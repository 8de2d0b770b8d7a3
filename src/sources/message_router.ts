/**
 * What becomes of a broker's message:
 *
 *                ┌─ event ──────▶ the queue (buffered), or ilert itself (direct)
 *   message ─────┼─ heartbeat ──▶ a ping, not waited for
 *    (mapped)    ├─ policy ─────▶ an update of ilert's escalation policy
 *                ├─ filtered ───▶ counted
 *                └─ unusable ───▶ a durable dead letter
 *
 * Where there is no room it waits in a line, and all that come later wait behind it, so that events are enqueued in the
 * order of the calls: the broker, whose window of unacknowledged messages bounds the line, holds back the rest.
 */

import type { AlertEvent } from "../domain/event.ts";
import { mapMessage, type MessageMapping } from "../domain/mapping.ts";
import type { PolicyUpdate } from "../domain/policy_update.ts";
import type { DeadLetters, QueuedMessage } from "../queue/messages.ts";
import { QueueUnavailable } from "../queue/queue.ts";
import { AbortGroups } from "../runtime/abort_groups.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import { LimitedWarnings } from "../runtime/limited_warnings.ts";
import type { Log } from "../runtime/log.ts";
import type { BrokerMessage, MessageReceiver } from "./message.ts";
import type { MessageCounts, MessageEnd } from "./message_counts.ts";

/** Where one kind of message goes. `take` is called in order and rejects with `QueueUnavailable` where there is no room. */
export interface Intake<T> {
  /** Whether a `take` that was refused is worth another attempt. */
  hasRoom(): boolean;
  take(what: T, message: QueuedMessage, signal: AbortSignal): Promise<MessageEnd>;
}

export interface MessageIntakes {
  events: Intake<{ event: AlertEvent; apiPath: string }>;
  policies: Intake<PolicyUpdate>;
  letters: DeadLetters & { hasRoom(): boolean };
  pings: { ping(key: string): void };
}

interface Waiting {
  place: number;
  hasRoom: () => boolean;
  attempt: () => Promise<MessageEnd>;
  signal: AbortSignal;
  resolve: () => void;
  reject: (reason: unknown) => void;
  stopListening: () => void;
}

/** How soon those who wait for room look again. */
const LOOK_MS = 250;
const SETTLED = Promise.resolve();

export class MessageRouter implements MessageReceiver, Disposable {
  readonly #mapping: MessageMapping;
  readonly #intakes: MessageIntakes;
  readonly #counts: MessageCounts;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #warnings: LimitedWarnings;
  readonly #aborts = new AbortGroups();
  /** In the order of the calls. */
  readonly #line: Waiting[] = [];
  #nextPlace = 0;
  #cancelLook: (() => void) | null = null;

  constructor(
    mapping: MessageMapping,
    intakes: MessageIntakes,
    counts: MessageCounts,
    deps: { clock: Clock; log: Log },
  ) {
    this.#mapping = mapping;
    this.#intakes = intakes;
    this.#counts = counts;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#warnings = new LimitedWarnings(deps.log, deps.clock);
  }

  receive(message: BrokerMessage, signal: AbortSignal): Promise<void> {
    const { events, policies, letters, pings } = this.#intakes;
    const { broker } = this.#mapping;
    const { topic, payload, key } = message;
    this.#counts.arrived();
    const mapped = mapMessage(message, this.#mapping);
    for (const warning of mapped.warnings) {
      this.#warnings.warn("Message on {topic}: {warning}", { topic, warning });
    }
    switch (mapped.kind) {
      case "event":
        return this.#settle(
          events,
          signal,
          () => events.take(mapped, { broker, topic, payload, key }, signal),
        );
      case "policy":
        return this.#settle(
          policies,
          signal,
          () => policies.take(mapped.update, { broker, topic, payload, key }, signal),
        );
      case "heartbeat":
        pings.ping(mapped.key);
        return this.#ended("heartbeat");
      case "filtered":
        if (this.#log.isEnabledFor("debug")) {
          this.#log.debug("Message on {topic} is left out: {why}", { topic, why: mapped.why });
        }
        return this.#ended("filtered");
      case "unusable": {
        const { reason } = mapped;
        this.#warnings.warn("Message on {topic} is a dead letter: {reason}", { topic, reason });
        const death = { reason, status: null, responseBody: null, attempts: 0 };
        const letter = { kind: "message", message: { broker, topic, payload, key }, death } as const;
        return this.#settle(letters, signal, () => letters.bury(letter).then(() => "dead_letter"));
      }
    }
  }

  /** Those who still wait are never settled. */
  [Symbol.dispose](): void {
    this.#cancelLook?.();
  }

  #ended(end: MessageEnd): Promise<void> {
    this.#counts.ended(end);
    return SETTLED;
  }

  #settle(
    intake: { hasRoom(): boolean },
    signal: AbortSignal,
    attempt: () => Promise<MessageEnd>,
  ): Promise<void> {
    if (signal.aborted) return this.#giveBack(signal);
    const place = this.#nextPlace++;
    const again = () => this.#wait({ place, hasRoom: () => intake.hasRoom(), attempt, signal });
    return this.#line.length > 0 ? again() : this.#attempt(attempt, signal, again);
  }

  #attempt(
    attempt: () => Promise<MessageEnd>,
    signal: AbortSignal,
    again: () => Promise<void>,
  ): Promise<void> {
    return attempt().then((end) => this.#counts.ended(end), (error) => {
      if (!signal.aborted && !(error instanceof QueueUnavailable)) {
        this.#log.error("A message could not be settled: {reason}; trying again", {
          reason: failureOf(error),
        });
      }
      return again();
    });
  }

  #wait(waiting: Pick<Waiting, "place" | "hasRoom" | "attempt" | "signal">): Promise<void> {
    const { place, signal } = waiting;
    if (signal.aborted) return this.#giveBack(signal);
    return new Promise((resolve, reject) => {
      const stopListening = this.#aborts.add(signal, () => {
        this.#line.splice(this.#line.indexOf(one), 1);
        this.#giveBack(signal).catch(reject);
      });
      const one: Waiting = { ...waiting, resolve, reject, stopListening };
      // Refusals of one transaction arrive one after the other; between them nothing else may slip in.
      const behind = this.#line.findLastIndex((other) => other.place < place);
      this.#line.splice(behind + 1, 0, one);
      this.#lookLater();
    });
  }

  #giveBack(signal: AbortSignal): Promise<void> {
    this.#counts.ended("given_back");
    return Promise.reject(signal.reason);
  }

  #lookLater(): void {
    this.#cancelLook ??= this.#clock.after(LOOK_MS, () => {
      this.#cancelLook = null;
      this.#look();
      if (this.#line.length > 0) this.#lookLater();
    });
  }

  /** Those in front, as long as there is room. Whoever is refused again finds its place in the line. */
  #look(): void {
    for (let first = this.#line[0]; first?.hasRoom(); first = this.#line[0]) {
      const { attempt, signal, resolve, reject, stopListening } = first;
      this.#line.shift();
      stopListening();
      const again = first;
      this.#attempt(attempt, signal, () => this.#wait(again)).then(resolve, reject);
    }
  }
}
