/**
 * The queue of direct mode: in memory, because the broker keeps each message until its event is settled.
 *
 *   deliver            claim              settle
 *   ───────▶ queued ──────────▶ sending ─────────▶ delivered   the promise resolves: the broker may forget it
 *              ▲                   │
 *              │ rescan, when due  ├─────────────▶ waiting     attempts in memory only
 *              └───────────────────┼──── waiting
 *                                  └─────────────▶ dead        durable in the file first, then the promise resolves
 *
 * Where the broker takes a message back (its signal is aborted), an event that is not being sent is forgotten: the
 * broker delivers it again, here or to another agent. Lanes are those of the port.
 */

import type { AlertEvent } from "../domain/event.ts";
import type { Ledger } from "../domain/ledger.ts";
import { AbortGroups } from "../runtime/abort_groups.ts";
import type { Clock } from "../runtime/clock.ts";
import { pause } from "../runtime/pause.ts";
import type { DeadLetter, DeadLetters } from "./messages.ts";
import { type EventQueue, type QueuedEvent, QueueUnavailable, type Settlement } from "./queue.ts";

/** With at most a few hundred kB each, and brokers that are told to send far fewer. */
const EVENTS_MAX = 10_000;
/** After which a sender may try again. */
const FULL_RETRY_SECONDS = 1;
/** How soon a dead letter that found no room is tried again. */
const BURY_RETRY_MS = 500;

/** How an event ended. */
export type DirectEnd = "delivered" | "dead";

interface Entry {
  queued: QueuedEvent;
  topic: string;
  /** Null for an event without an alert key. */
  lane: string | null;
  state: "behind" | "ready" | "sending" | "waiting";
  /** In ms since the epoch, while waiting. */
  dueAt: number;
  /** Whether the broker has taken the message back while its event was being sent. */
  isWithdrawn: boolean;
  resolve: (end: DirectEnd) => void;
  stopListening: () => void;
}

/** All of the port but `enqueue`, which promises what memory cannot keep. */
export class DirectQueue implements Omit<EventQueue, "enqueue">, Disposable {
  /** Deliveries are never held back for an intake here: nothing is accepted before it is delivered. */
  readonly ledger: Readonly<Ledger> = { accepted: 0, delivered: 0, purged: 0 };
  readonly #letters: DeadLetters;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  /** The events of a lane, its head first. */
  readonly #lanes = new Map<string, Entry[]>();
  /** Heads that are neither sent nor waiting, by integration key; the key whose turn is next comes first. */
  readonly #ready = new Map<string, Set<Entry>>();
  readonly #waiting = new Set<Entry>();
  /** Of those that wait; those that are gone meanwhile cost a look in vain. */
  #nextDue: number | null = null;
  /** Integration keys of new heads since the last probe. */
  readonly #arrivedKeys = new Set<string>();
  readonly #aborts = new AbortGroups();
  readonly #closing = new AbortController();
  #onAvailable: () => void = () => {};

  constructor(letters: DeadLetters, clock: Clock) {
    this.#letters = letters;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  hasRoom(): boolean {
    return this.#entries.size < EVENTS_MAX;
  }

  onAvailable(callback: () => void): void {
    this.#onAvailable = callback;
  }

  /**
   * Resolves when ilert has taken the event or it is a durable dead letter. Rejects with `QueueUnavailable` at once
   * where there is no room, and with the signal's reason when that is aborted first.
   */
  deliver(event: AlertEvent, apiPath: string | null, topic: string, signal: AbortSignal): Promise<DirectEnd> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (!this.hasRoom()) {
        return reject(
          new QueueUnavailable(`${EVENTS_MAX} events are waiting for ilert in memory`, FULL_RETRY_SECONDS),
        );
      }
      const queued = { id: crypto.randomUUID(), event, apiPath, attempts: 0, acceptedAt: this.#clock.now() };
      const entry: Entry = {
        queued,
        topic,
        lane: laneOf(event),
        state: "behind",
        dueAt: 0,
        isWithdrawn: false,
        resolve,
        stopListening: this.#aborts.add(signal, () => {
          reject(signal.reason);
          if (entry.state === "sending") entry.isWithdrawn = true;
          else this.#remove(entry);
        }),
      };
      this.#entries.set(queued.id, entry);
      this.#append(entry);
    });
  }

  claim(isPaused: (integrationKey: string) => boolean): QueuedEvent | null {
    for (const [key, [head]] of this.#ready) {
      if (head !== undefined && !isPaused(key)) return this.#send(head);
    }
    return null;
  }

  claimProbe(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    this.#arrivedKeys.clear();
    for (const entry of this.#waiting) this.#makeReady(entry);
    return this.claim((key) => failedKeys.has(key) || isPaused(key)) ?? this.claim(isPaused);
  }

  claimUntried(
    isPaused: (integrationKey: string) => boolean,
    failedKeys: ReadonlySet<string>,
  ): QueuedEvent | null {
    for (const key of this.#arrivedKeys) {
      this.#arrivedKeys.delete(key);
      if (failedKeys.has(key) || isPaused(key)) continue;
      const [head] = this.#ready.get(key) ?? [];
      if (head !== undefined) return this.#send(head);
    }
    return null;
  }

  async settle(claimed: QueuedEvent, settlement: Settlement): Promise<void> {
    const entry = this.#entryOf(claimed);
    switch (settlement.kind) {
      case "delivered":
        return this.#end(entry, "delivered");
      case "waiting":
        return this.#wait(entry, settlement);
      case "dead":
        if (await this.#bury(entry, settlement)) this.#end(entry, "dead");
        else this.#remove(entry);
    }
  }

  release(claimed: QueuedEvent): void {
    const entry = this.#entryOf(claimed);
    if (entry.isWithdrawn) this.#remove(entry);
    else this.#makeReady(entry);
  }

  nextDueAt(): number | null {
    return this.#nextDue;
  }

  /** Makes claimable what is due. */
  rescan(): void {
    const now = this.#clock.now();
    this.#nextDue = null;
    for (const entry of this.#waiting) {
      if (entry.dueAt <= now) this.#makeReady(entry);
      else this.#nextDue = Math.min(this.#nextDue ?? Infinity, entry.dueAt);
    }
  }

  postpone(byMs: number): void {
    for (const entry of this.#waiting) entry.dueAt += byMs;
    this.rescan();
  }

  /** Gives up dead letters that found no room; their messages stay with the broker. */
  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  #append(entry: Entry): void {
    const { lane } = entry;
    if (lane !== null) {
      const others = this.#lanes.get(lane);
      if (others !== undefined) {
        others.push(entry);
        return;
      }
      this.#lanes.set(lane, [entry]);
    }
    this.#arrive(entry);
  }

  /** A new head. */
  #arrive(entry: Entry): void {
    this.#arrivedKeys.add(entry.queued.event.integrationKey);
    this.#makeReady(entry);
    this.#onAvailable();
  }

  #makeReady(entry: Entry): void {
    const key = entry.queued.event.integrationKey;
    this.#waiting.delete(entry);
    entry.state = "ready";
    const heads = this.#ready.get(key);
    if (heads === undefined) this.#ready.set(key, new Set([entry]));
    else heads.add(entry);
  }

  /** Of its integration key, which goes to the end of the turn. */
  #send(entry: Entry): QueuedEvent {
    const key = entry.queued.event.integrationKey;
    const heads = this.#ready.get(key);
    this.#leaveReady(entry);
    if (heads !== undefined && heads.size > 0) {
      this.#ready.delete(key);
      this.#ready.set(key, heads);
    }
    entry.state = "sending";
    return entry.queued;
  }

  #leaveReady(entry: Entry): void {
    const key = entry.queued.event.integrationKey;
    const heads = this.#ready.get(key);
    heads?.delete(entry);
    if (heads?.size === 0) this.#ready.delete(key);
  }

  #wait(entry: Entry, { attempts, nextAttemptAt }: Settlement & { kind: "waiting" }): void {
    if (entry.isWithdrawn) return this.#remove(entry);
    entry.queued = { ...entry.queued, attempts };
    entry.state = "waiting";
    entry.dueAt = nextAttemptAt;
    this.#waiting.add(entry);
    this.#nextDue = Math.min(this.#nextDue ?? Infinity, nextAttemptAt);
  }

  /** False where the broker took the message back, or the queue was closed, before there was room. */
  async #bury(entry: Entry, death: Settlement & { kind: "dead" }): Promise<boolean> {
    const { queued: { event, apiPath, acceptedAt }, topic } = entry;
    const { attempts, status, reason, responseBody } = death;
    const letter: DeadLetter = {
      ...{ kind: "event", event, apiPath, topic, acceptedAt },
      death: { attempts, status, reason, responseBody },
    };
    while (!this.#closing.signal.aborted && !entry.isWithdrawn) {
      try {
        await this.#letters.bury(letter);
        return true;
      } catch (error) {
        if (!(error instanceof QueueUnavailable)) throw error;
        await pause(BURY_RETRY_MS, this.#clock, this.#closing.signal);
      }
    }
    return false;
  }

  #end(entry: Entry, end: DirectEnd): void {
    entry.stopListening();
    this.#remove(entry);
    entry.resolve(end);
  }

  #remove(entry: Entry): void {
    const { queued, lane } = entry;
    this.#entries.delete(queued.id);
    this.#waiting.delete(entry);
    if (entry.state === "ready") this.#leaveReady(entry);
    if (lane === null) return;
    const others = this.#lanes.get(lane)!;
    const place = others.indexOf(entry);
    others.splice(place, 1);
    const [head] = others;
    if (head === undefined) this.#lanes.delete(lane);
    else if (place === 0) this.#arrive(head);
  }

  #entryOf(claimed: QueuedEvent): Entry {
    const entry = this.#entries.get(claimed.id);
    if (entry === undefined) throw new Error(`Cannot settle event ${claimed.id}: it is settled already`);
    return entry;
  }
}

function laneOf({ integrationKey, alertKey }: AlertEvent): string | null {
  return alertKey === null ? null : JSON.stringify([integrationKey, alertKey]);
}
