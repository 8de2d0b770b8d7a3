/** Delivers, and does with each item what its outcome asks for: on with the cursor, to the dead letters, or stop. */

import { type EdgeItem, factsOf } from "../domain/edge_item.ts";
import type { PolledItem } from "../ilert/edge_api.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import type { Sink, SinkOutcome } from "../sinks/sink.ts";
import type { EdgeHealth } from "./edge_health.ts";
import type { DeadItem, EdgeStore, ReturnedItem } from "./edge_store.ts";
import type { Progress } from "./progress.ts";

/** Told of what happens to polled items, for figures; the ledger counts returned ones. */
export interface DeliveryObserver {
  delivered(): void;
  /** `status` is null where the target has no such thing, or the item was unusable. */
  skipped(status: number | null): void;
  /** A retryable failure stopped a batch. */
  stopped(): void;
}

/** One batch on its way. */
export interface Course {
  /** In which it was polled. */
  readonly term: number;
  /** Whether a further item may be begun; once it is a no it stays one. */
  mayGoOn(): boolean;
  /** The first item that was not settled before is now. */
  settled(): void;
}

export interface SettlerDeps {
  health: EdgeHealth;
  observer: DeliveryObserver;
  log: Log;
}

/** What answers to a wrong token or URL, of which every item would die. */
const MISCONFIGURED: ReadonlySet<number | null> = new Set([401, 403, 404]);

/** Items without an id that were buried in this run, so that a poll which brings them again does not bury them again. */
const NAMELESS_MAX = 1_000;

export class Settler {
  readonly #sink: Sink;
  readonly #store: EdgeStore;
  readonly #progress: Progress;
  readonly #deps: SettlerDeps;
  readonly #abort = new AbortController();
  readonly #nameless = new Set<string>();

  constructor(sink: Sink, store: EdgeStore, progress: Progress, deps: SettlerDeps) {
    this.#sink = sink;
    this.#store = store;
    this.#progress = progress;
    this.#deps = deps;
  }

  /** Items that one delivery takes. */
  get portionMax(): number {
    return this.#sink.itemsMax;
  }

  /** Whether dead letters that an operator has returned are still to be delivered. */
  get hasReturned(): boolean {
    return this.#store.firstReturned() !== null;
  }

  /** Ends the delivery in hand without an answer. */
  abort(): void {
    this.#abort.abort();
  }

  /** Begins to keep the cursor, for `kept()`. */
  hasten(): void {
    this.#store.hastenCursor();
  }

  /** Resolves when the cursor is kept, or with the signal. */
  async kept(signal: AbortSignal): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const onAbort = () => resolve();
    if (signal.aborted) resolve();
    signal.addEventListener("abort", onAbort);
    await Promise.race([this.#store.cursorKept(), aborted]);
    signal.removeEventListener("abort", onAbort);
  }

  /**
   * Delivers what is usable at the front of a portion, or buries the one that is not; false where a retryable failure
   * stopped it. `positions` are where the cursor may stand after each.
   */
  async settle(
    portion: readonly PolledItem[],
    positions: readonly (string | null)[],
    course: Course,
  ): Promise<boolean> {
    const [first] = portion;
    if (first?.kind !== "unusable") return await this.#deliver(usableAtFront(portion), positions, course);
    if (!await this.#buryUnusable(first, positions[0] ?? null, course.term)) return false;
    course.settled();
    return true;
  }

  /** Delivers what an operator has returned; false where a retryable failure left some of it. */
  async settleReturned(): Promise<boolean> {
    for (let next = this.#store.firstReturned(); next !== null; next = this.#store.firstReturned()) {
      if (!await this.#deliverReturned(next)) return false;
    }
    return true;
  }

  async #deliver(
    items: readonly EdgeItem[],
    positions: readonly (string | null)[],
    { term, mayGoOn, settled }: Course,
  ): Promise<boolean> {
    const { log, observer, health } = this.#deps;
    let at = 0;
    for await (const outcome of this.#attempt(items, mayGoOn)) {
      const item = items[at];
      if (item === undefined) break;
      const position = positions[at] ?? null;
      at++;
      switch (outcome.kind) {
        case "delivered":
          if (position !== null) this.#progress.settled(position, term);
          if (log.isEnabledFor("debug")) log.debug("Item {id} is delivered", { id: item.id });
          observer.delivered();
          health.delivered();
          break;
        case "rejected":
          if (!await this.#bury(deadItem(item, outcome), position, term)) return false;
          observer.skipped(outcome.status);
          this.#tellSkipped(item.id, outcome.status, outcome.reason);
          break;
        case "retry":
          this.#fail(outcome.reason);
          return false;
      }
      settled();
    }
    if (at === items.length || (at > 0 && !mayGoOn())) return true;
    this.#fail(NO_ANSWER);
    return false;
  }

  async *#attempt(items: readonly EdgeItem[], mayGoOn: () => boolean): AsyncGenerator<SinkOutcome> {
    try {
      yield* this.#sink.deliver(items, this.#abort.signal, mayGoOn);
    } catch (error) {
      const reason = failureOf(error);
      this.#deps.log.error("The delivery of item {id} went wrong: {reason}", { id: items[0]?.id, reason });
      yield { kind: "retry", reason };
    }
  }

  async #buryUnusable(
    unusable: PolledItem & { kind: "unusable" },
    position: string | null,
    term: number,
  ): Promise<boolean> {
    const { json, reason } = unusable;
    const id = unusable.id ?? await nameOf(json, reason);
    const isKnown = unusable.id === null && this.#nameless.has(id);
    if (!isKnown) {
      const dead = { id, payload: json, alertId: "", status: null, reason, responseBody: null };
      if (!await this.#bury(dead, position, term)) return false;
      if (this.#nameless.size >= NAMELESS_MAX) this.#nameless.clear();
      if (unusable.id === null) this.#nameless.add(id);
      this.#deps.log.error("Item {id} cannot be delivered and is a dead letter: {reason}", { id, reason });
    }
    this.#deps.observer.skipped(null);
    return true;
  }

  /** False where there is no room for it. */
  async #bury(dead: DeadItem, position: string | null, term: number): Promise<boolean> {
    const { full } = this.#store;
    if (full !== null) {
      this.#fail(`${full}, and item ${dead.id} would be one more (${dead.reason})`);
      return false;
    }
    await this.#store.bury(dead, this.#progress.isKept ? position : null);
    if (position !== null) this.#progress.settled(position, term);
    return true;
  }

  #tellSkipped(id: string, status: number | null, reason: string): void {
    const { log } = this.#deps;
    if (MISCONFIGURED.has(status)) {
      const message =
        "Item {id} was skipped and is a dead letter: {reason}; look at the target's URL and credentials";
      log.error(message, { id, reason });
    } else {
      log.warn("Item {id} was skipped and is a dead letter: {reason}", { id, reason });
    }
  }

  async #deliverReturned(returned: ReturnedItem): Promise<boolean> {
    const { log, health } = this.#deps;
    const { item } = returned;
    const [outcome = { kind: "retry", reason: NO_ANSWER }] = await Array.fromAsync(
      this.#attempt([item], () => true),
    );
    switch (outcome.kind) {
      case "delivered":
        await this.#store.settleReturned(returned, { kind: "delivered" });
        log.info("Item {id}, once a dead letter, is delivered", { id: item.id });
        health.delivered();
        return true;
      case "rejected":
        await this.#store.settleReturned(returned, { ...outcome, kind: "dead" });
        this.#tellSkipped(item.id, outcome.status, outcome.reason);
        return true;
      case "retry":
        if (!this.#abort.signal.aborted) {
          await this.#store.settleReturned(returned, { kind: "waiting", lastError: outcome.reason });
        }
        this.#fail(outcome.reason);
        return false;
    }
  }

  #fail(reason: string): void {
    if (this.#abort.signal.aborted) return;
    this.#deps.observer.stopped();
    this.#deps.health.deliveryFailed(reason);
  }
}

/** Of a sink that answers with too little. */
const NO_ANSWER = "the target's answer is not known";

function usableAtFront(portion: readonly PolledItem[]): EdgeItem[] {
  const items: EdgeItem[] = [];
  for (const polled of portion) {
    if (polled.kind === "unusable") break;
    items.push(polled.item);
  }
  return items;
}

function deadItem(
  item: EdgeItem,
  { status, reason, responseBody }: SinkOutcome & { kind: "rejected" },
): DeadItem {
  return { id: item.id, payload: item.body, alertId: factsOf(item).alertId, status, reason, responseBody };
}

/** The same for the same item, whenever it comes. `reason` has what it gives as its id, as far as that is shown. */
async function nameOf(json: string, reason: string): Promise<string> {
  const text = new TextEncoder().encode(`${reason}\n${json}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return `no-id-${digest.toHex().slice(0, 24)}`;
}
