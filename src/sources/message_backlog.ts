/**
 * Messages that wait in the file: what the Rust agent has left, policy updates, dead letters that are to be tried anew.
 * Each is mapped as if it had just come from its broker, in the order in which they were kept.
 */

import type { AlertEvent } from "../domain/event.ts";
import { mapMessage, type MessageMapping } from "../domain/mapping.ts";
import type { PolicyUpdate } from "../domain/policy_update.ts";
import { type BrokerKind, routeOf } from "../domain/topics.ts";
import type { KeptEnd, KeptMessage, KeptMessages, QueuedMessage } from "../queue/messages.ts";
import { QueueUnavailable } from "../queue/queue.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import { LimitedWarnings } from "../runtime/limited_warnings.ts";
import type { Log } from "../runtime/log.ts";
import { pause } from "../runtime/pause.ts";
import type { PolicyBacklog, PolicyEnd, PolicyUpdater } from "./policy_intake.ts";

export interface MessageBacklogDeps {
  pings: { ping(key: string): void };
  updater: PolicyUpdater;
  clock: Clock;
  log: Log;
}

/** Read and settled at one time. */
const BATCH_ROWS = 500;
/** Policy updates under way at one time; the others wait in the file. */
const UPDATES_MAX = 100;
/** How soon what the disk refused is written again. */
const RETRY_MS = 1_000;

export class MessageBacklog implements PolicyBacklog, Disposable {
  readonly #store: KeptMessages;
  readonly #mappings: Readonly<Record<BrokerKind, MessageMapping>>;
  readonly #deps: MessageBacklogDeps;
  readonly #warnings: LimitedWarnings;
  readonly #closing = new AbortController();
  /** Ids of messages whose policy updates are under way. */
  readonly #updating = new Set<string>();
  /** Messages on their way into the file. */
  #keeping = 0;
  /** Whether this pass over the file, or the last, left policy updates there because too many were under way. */
  #hasMorePolicies = false;
  /** Messages whose topics no flag names, as last told. */
  #unrouted = 0;
  #isWanted = false;
  #pass: Promise<void> | null = null;

  constructor(
    store: KeptMessages,
    mappings: Readonly<Record<BrokerKind, MessageMapping>>,
    deps: MessageBacklogDeps,
  ) {
    this.#store = store;
    this.#mappings = mappings;
    this.#deps = deps;
    this.#warnings = new LimitedWarnings(deps.log, deps.clock);
  }

  get hasPolicies(): boolean {
    return this.#keeping > 0 || this.#updating.size > 0 || this.#hasMorePolicies || this.#pass !== null;
  }

  /** Looks through the file, as messages may have been added. Resolves when all that can become events are events. */
  async drain(): Promise<void> {
    this.#isWanted = true;
    this.#pass ??= this.#passes();
    await this.#pass;
  }

  async keep(message: QueuedMessage): Promise<void> {
    this.#keeping++;
    try {
      await this.#store.keep(crypto.randomUUID(), message);
      void this.drain();
    } finally {
      this.#keeping--;
    }
  }

  async keepRunning(message: QueuedMessage, running: Promise<PolicyEnd>): Promise<void> {
    const id = crypto.randomUUID();
    // First, so that no pass over the file takes it for one to begin with.
    this.#updating.add(id);
    try {
      const kept = await this.#store.keep(id, message);
      void this.#finish(kept, running);
    } catch (error) {
      this.#updating.delete(id);
      throw error;
    }
  }

  /** Policy updates under way are broken off; their messages stay in the file. */
  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #passes(): Promise<void> {
    try {
      while (this.#isWanted && !this.#closing.signal.aborted) {
        this.#isWanted = false;
        this.#hasMorePolicies = false;
        await this.#passOver();
      }
    } finally {
      // In the same turn as the last look, or a wish that comes in between would be lost.
      this.#pass = null;
    }
  }

  async #passOver(): Promise<void> {
    let unrouted = 0;
    for (let place = 0; !this.#closing.signal.aborted;) {
      const batch = this.#store.after(place, BATCH_ROWS);
      const last = batch.at(-1);
      if (last === undefined) break;
      const settled = await Promise.all(batch.map((kept) => this.#take(kept)));
      if (settled.includes("refused")) {
        await pause(RETRY_MS, this.#deps.clock, this.#closing.signal);
        continue;
      }
      unrouted += settled.filter((how) => how === "unrouted").length;
      place = last.place;
    }
    this.#tellUnrouted(unrouted);
  }

  /** `refused` where its event could not be written now; those behind it must wait. */
  async #take(kept: KeptMessage): Promise<"taken" | "unrouted" | "refused"> {
    if (this.#updating.has(kept.id)) return "taken";
    const mapping = this.#mappings[kept.broker];
    if (routeOf(kept.topic, mapping.mapping.topics, kept.broker) === null) return "unrouted";
    const mapped = mapMessage(kept, mapping);
    const { topic } = kept;
    for (const warning of mapped.warnings) {
      this.#warnings.warn("Message on {topic}: {warning}", { topic, warning });
    }
    switch (mapped.kind) {
      case "event":
        return await this.#settle(kept, eventEnd(mapped)) ? "taken" : "refused";
      case "filtered":
        return await this.#settle(kept, { kind: "dropped" }) ? "taken" : "refused";
      case "heartbeat":
        this.#deps.pings.ping(mapped.key);
        return await this.#settle(kept, { kind: "delivered" }) ? "taken" : "refused";
      case "policy":
        this.#update(kept, mapped.update);
        return "taken";
      case "unusable": {
        const { reason } = mapped;
        this.#warnings.warn("Message on {topic} is a dead letter: {reason}", { topic, reason });
        const death = { reason, status: null, responseBody: null, attempts: 0 };
        // Where dead letters have no room it stays, and is tried with the next change of the file.
        await this.#settle(kept, { kind: "dead", death });
        return "taken";
      }
    }
  }

  #update(kept: KeptMessage, update: PolicyUpdate): void {
    // None behind one that was left, though others have ended meanwhile: it would overtake it.
    if (this.#hasMorePolicies || this.#updating.size >= UPDATES_MAX) {
      this.#hasMorePolicies = true;
      return;
    }
    this.#updating.add(kept.id);
    void this.#finish(kept, this.#deps.updater.run(update, this.#closing.signal));
  }

  async #finish(kept: KeptMessage, running: Promise<PolicyEnd>): Promise<void> {
    const end = await running.catch((error: unknown) => {
      if (this.#closing.signal.aborted) return null;
      const reason = failureOf(error);
      this.#deps.log.error("A policy update was given up until the next start: {reason}", { reason });
      return null;
    });
    // Its row is still there.
    if (end === null) return;
    const last: KeptEnd = end.kind === "applied" ? { kind: "delivered" } : { kind: "dead", death: end };
    while (!await this.#settle(kept, last) && !this.#closing.signal.aborted) {
      await pause(RETRY_MS, this.#deps.clock, this.#closing.signal);
    }
    this.#updating.delete(kept.id);
    if (this.#hasMorePolicies) await this.drain();
  }

  /** False where the disk refuses it or there is no room. */
  async #settle(kept: KeptMessage, end: KeptEnd): Promise<boolean> {
    try {
      await this.#store.settle(kept, end);
      return true;
    } catch (error) {
      if (error instanceof QueueUnavailable) return false;
      throw error;
    }
  }

  #tellUnrouted(count: number): void {
    if (count !== this.#unrouted && count > 0) {
      this.#deps.log.warn(
        "{count} queued messages are of topics that no flag names; they stay queued: name their topics with " +
          "--event_topic or --policy_topic, or remove them with 'ilagent queue drop'",
        { count },
      );
    }
    this.#unrouted = count;
  }
}

function eventEnd({ event, apiPath }: { event: AlertEvent; apiPath: string }): KeptEnd {
  return { kind: "event", event, apiPath };
}
