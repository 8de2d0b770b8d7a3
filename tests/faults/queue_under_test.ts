/** The SQLite queue beside its model: each operation goes to both, and whatever they disagree on is thrown. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import type { QueuedEvent, Settlement } from "../../src/queue/queue.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { type Ending, type Entry, QueueModel } from "./queue_model.ts";

/** A write that was begun: whether a crash keeps it is open until it is confirmed. */
interface Begun {
  isConfirmed: boolean;
  confirm: () => void;
  /** It never happened. */
  undo: () => void;
  /** Whether the rows of a file show it; null for a write that can leave no trace. */
  isIn: (rows: Rows) => boolean | null;
  promise: Promise<void>;
}

interface Rows {
  queued: Map<string, { attempts: number; nextAttemptAt: number }>;
  dead: Set<string>;
}

const nobody = () => false;

export class QueueUnderTest {
  readonly model = new QueueModel();
  readonly clock = new FakeClock();
  readonly #path: string;
  readonly #claims = new Map<Entry, QueuedEvent>();
  #copies = 0;
  #file: string;
  #queue: SqliteQueue;
  #isOpen = true;
  #begun: Begun[] = [];
  /** Whether a claim has passed over a paused key since the file was last read: those come back only with a rescan. */
  #passedOver = false;

  constructor(path: string) {
    this.#path = this.#file = path;
    this.#queue = SqliteQueue.open(path, ROOMY, this.clock);
  }

  enqueue(key: string, alertKey: string | null): void {
    const entry = this.model.arrive(key, alertKey);
    const event = anEvent({ integrationKey: key, alertKey, summary: entry.name });
    this.#begin(this.#queue.enqueue(event, null), {
      confirm: () => this.model.store(entry),
      undo: () => this.model.forget(entry),
      isIn: ({ queued }) => queued.has(entry.name),
    });
  }

  /** An event that cannot be stored takes the transaction down that it shares with others. */
  enqueueUnstorable(key: string, alertKey: string | null): void {
    const event = anEvent({ integrationKey: key, alertKey, summary: "unstorable", customDetails: 1n });
    const refused = this.#queue.enqueue(event, null).then(() => assert.fail("stored"), () => {});
    this.#begin(refused, { confirm: () => {}, undo: () => {}, isIn: () => null });
  }

  claim(isPaused: (key: string) => boolean): Entry | null {
    this.#passedOver ||= ["a", "b", "c"].some(isPaused);
    const claimed = this.#queue.claim(isPaused);
    return claimed === null ? null : this.#claimed(claimed, isPaused, false);
  }

  probe(isPaused: (key: string) => boolean, failedKeys: ReadonlySet<string>): void {
    const possible = this.model.claimable(isPaused, this.clock.now(), true);
    const probe = this.#queue.claimProbe(isPaused, failedKeys);
    if (probe === null) return assert.deepEqual(possible.map(({ name }) => name), []);
    if (possible.some(({ key }) => !failedKeys.has(key))) {
      assert.ok(!failedKeys.has(probe.event.integrationKey), "a key that failed was probed before others");
    }
    this.#claimed(probe, isPaused, true);
  }

  /** Of the events in hand, by any number. */
  settle(which: number, ending: Ending, delayMs: number): void {
    const entry = this.#inHand(which);
    const queued = entry && this.#claims.get(entry);
    if (entry === undefined || queued === undefined) return;
    const attempts = entry.attempts + 1, nextAttemptAt = this.clock.now() + delayMs;
    this.#claims.delete(entry);
    entry.isSettling = true;
    this.#begin(this.#queue.settle(queued, settlement(ending, attempts, nextAttemptAt)), {
      confirm: () => this.model.settle(entry, ending, nextAttemptAt),
      undo: () => {},
      isIn: ({ queued, dead }) =>
        ending === "waiting"
          ? queued.get(entry.name)?.attempts === attempts
          : !queued.has(entry.name) && dead.has(entry.name) === (ending === "dead"),
    });
  }

  release(which: number): void {
    const entry = this.#inHand(which);
    const queued = entry && this.#claims.get(entry);
    if (entry === undefined || queued === undefined) return;
    this.#claims.delete(entry);
    entry.isClaimed = false;
    this.#queue.release(queued);
  }

  rescan(): void {
    this.#queue.rescan();
    this.#passedOver = false;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#begun.map(({ promise }) => promise));
    this.#begun = [];
    this.#agreesInNumbers();
  }

  async jump(byMs: number): Promise<void> {
    await this.settled();
    this.clock.jump(byMs);
    this.model.postpone(byMs);
    this.#queue.postpone(byMs);
    // Nothing tells when that is done, but what is enqueued after it is stored after it.
    this.enqueue("a", null);
    await this.settled();
  }

  /** Claims all there is and compares it with all there should be. */
  async claimAll({ isRescanned }: { isRescanned: boolean }): Promise<void> {
    await this.settled();
    const now = this.clock.now();
    if (isRescanned) {
      this.rescan();
      assert.equal(this.#queue.nextDueAt(), this.model.nextDueAfter(now), "when the next retry is due");
    }
    while (this.claim(nobody) !== null);
    const left = this.model.claimable(nobody, now)
      .filter(({ nextAttemptAt }) => isRescanned || nextAttemptAt === 0 && !this.#passedOver);
    assert.deepEqual(left.map(({ name }) => name), [], "these could be claimed and were not");
  }

  async restart(): Promise<void> {
    await this.#close();
    assert.ok(this.#begun.every(({ isConfirmed }) => isConfirmed), "the end left writes behind");
    this.#begun = [];
    this.#reopen(this.#file);
  }

  /** As SIGKILL leaves it after some turns of the event loop: a copy of the file, with whatever has reached it. */
  async crash(turns: number): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    const copy = `${this.#path}.${++this.#copies}`;
    for (const suffix of ["", "-wal"]) Deno.copyFileSync(this.#file + suffix, copy + suffix);
    const open = this.#begun.filter(({ isConfirmed }) => !isConfirmed);
    this.#begun = [];
    for (const begun of open) begun.isConfirmed = true; // What the old queue still confirms, nobody has heard.
    await this.#close();
    const rows = rowsOf(copy);
    let isCutOff = false;
    for (const { isIn, confirm, undo } of open) {
      const isKept = isIn(rows);
      if (isKept === true) {
        assert.ok(!isCutOff, "a write survived the crash, one before it did not");
        confirm();
      } else if (isKept === false) {
        isCutOff = true;
        undo();
      }
    }
    this.#reopen(copy);
  }

  /** Delivers all that is left, and finds the file empty after it. */
  async finish(): Promise<void> {
    for (;;) {
      await this.claimAll({ isRescanned: true });
      if (this.model.size === 0) break;
      if (this.model.claimed.length === 0) {
        const dueAt = this.model.nextDueAfter(this.clock.now());
        assert.ok(dueAt !== null, "events are left and none is due");
        await this.clock.advance(dueAt - this.clock.now());
      }
      while (this.model.claimed.length > 0) this.settle(0, "delivered", 0);
    }
    await this.restart();
    assert.equal(this.#queue.claim(nobody), null);
    this.#agreesInNumbers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /** Also where a restart failed halfway. */
  async #close(): Promise<void> {
    if (this.#isOpen) await this.#queue[Symbol.asyncDispose]();
    this.#isOpen = false;
  }

  #claimed(queued: QueuedEvent, isPaused: (key: string) => boolean, isProbe: boolean): Entry {
    const entry = this.model.claim(queued.event.summary, isPaused, this.clock.now(), isProbe);
    assert.equal(queued.attempts, entry.attempts, `the attempts of ${entry.name}`);
    this.#claims.set(entry, queued);
    return entry;
  }

  #inHand(which: number): Entry | undefined {
    const { claimed } = this.model;
    return claimed[which % claimed.length];
  }

  #begin(done: Promise<unknown>, { confirm, undo, isIn }: Pick<Begun, "confirm" | "undo" | "isIn">): void {
    const begun: Begun = { isConfirmed: false, confirm, undo, isIn, promise: Promise.resolve() };
    begun.promise = done.then(() => {
      if (begun.isConfirmed) return;
      begun.isConfirmed = true;
      confirm();
    });
    this.#begun.push(begun);
  }

  #reopen(file: string): void {
    this.#file = file;
    this.#claims.clear();
    this.model.restart();
    this.#passedOver = false;
    this.#queue = SqliteQueue.open(file, ROOMY, this.clock);
    this.#isOpen = true;
    this.#agreesInRows();
    this.#agreesInNumbers();
  }

  #agreesInNumbers(): void {
    const { ledger, counts } = this.#queue;
    const { accepted, delivered, size, dead } = this.model;
    assert.deepEqual(
      { ...ledger, ...counts },
      { accepted, delivered, purged: 0, queued: size, dead: dead.size },
      "the ledger",
    );
  }

  #agreesInRows(): void {
    const { queued, dead } = rowsOf(this.#file);
    assert.deepEqual([...queued.keys()].sort(), this.model.entries.map(({ name }) => name).sort());
    assert.deepEqual(dead, this.model.dead);
    for (const { name, attempts, nextAttemptAt } of this.model.entries) {
      assert.deepEqual(queued.get(name), { attempts, nextAttemptAt }, name);
    }
  }
}

function settlement(ending: Ending, attempts: number, nextAttemptAt: number): Settlement {
  switch (ending) {
    case "delivered":
      return { kind: "delivered" };
    case "waiting":
      return { kind: "waiting", attempts, nextAttemptAt, lastError: "x" };
    case "dead":
      return { kind: "dead", attempts, status: 400, reason: "x", responseBody: null };
  }
}

function rowsOf(file: string): Rows {
  using database = new DatabaseSync(file, { readOnly: true });
  const queued = database.prepare("SELECT summary, attempts, next_attempt_at AS at FROM event_items").all();
  const dead = database.prepare("SELECT payload ->> 'summary' AS summary FROM dead_letters").all();
  return {
    queued: new Map(
      queued.map(({ summary, attempts, at }) => [
        String(summary),
        { attempts: Number(attempts), nextAttemptAt: Number(at) },
      ]),
    ),
    dead: new Set(dead.map(({ summary }) => String(summary))),
  };
}
