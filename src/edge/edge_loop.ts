/**
 * poll → deliver → settle, one batch after the other.
 *
 * Items are delivered in ilert's order, in portions of the size the sink takes; between any two of them the rest may be
 * left for a later poll. Behind each settled item the cursor moves in its own time; only the first delivery of a batch
 * waits until the cursor is kept up to there, so that a kill repeats at most one batch. Dead letters that an operator
 * has returned go before the next item.
 */

import { factsOf } from "../domain/edge_item.ts";
import type { PollAnswer, PolledItem, PollQuery } from "../ilert/edge_api.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { cursorPositions, firstOddId, isBehind } from "./cursor_positions.ts";
import type { EdgeHealth } from "./edge_health.ts";
import { type CycleEnd, FIRST_PACING, pace, type Pacing, type PollIntervals } from "./poll_pacing.ts";
import type { Progress } from "./progress.ts";
import type { Course, Settler } from "./settler.ts";

/** What the loop needs of ilert: one attempt, classified. */
export interface PollSource {
  poll(query: PollQuery, signal: AbortSignal): Promise<PollAnswer>;
}

/** Told of what happens, for figures. */
export interface PollObserver {
  polled(result: "items" | "empty" | "standby" | "failed"): void;
  received(items: number): void;
  /** Left for a later poll: after a failure, on a demotion, or because the batch took too long. */
  givenBack(items: number): void;
}

export interface LoopDeps {
  health: EdgeHealth;
  observer: PollObserver;
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
}

type Batch = PollAnswer & { kind: "batch" };

/** Between two polls beside one delivery, should polls take longer than their interval. */
const BESIDE_MIN_MS = 1_000;

/** A delivery that takes this much longer than an interval hangs for good, and another agent shall lead. */
const BESIDE_MAX_MS = 120_000;

/** For settling what the end of the shutdown time-out cut off. */
const SETTLE_GRACE_MS = 1_000;

export class EdgeLoop {
  readonly #source: PollSource;
  readonly #settler: Settler;
  readonly #progress: Progress;
  readonly #intervals: PollIntervals;
  readonly #deps: LoopDeps;
  readonly #stop = new AbortController();
  #pacing: Pacing = FIRST_PACING;
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  /** When the last poll began, by the monotonic clock. */
  #askedAt = 0;
  /** Whether the last batch had old ids only. */
  #isBehind = false;
  /** After a failed poll: before this ilert is not asked again, by the monotonic clock. */
  #notBefore = 0;
  /** A poll beside a delivery that takes long. */
  #beside: { over: Promise<void>; abort: AbortController } | null = null;
  #inHand = 0;

  constructor(
    source: PollSource,
    settler: Settler,
    progress: Progress,
    intervals: PollIntervals,
    deps: LoopDeps,
  ) {
    this.#source = source;
    this.#settler = settler;
    this.#progress = progress;
    this.#intervals = intervals;
    this.#deps = deps;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Items of the batch in hand that are not settled yet. */
  get inHand(): number {
    return this.#inHand;
  }

  /** An operator may have returned dead letters. */
  notice(): void {
    this.#wake();
  }

  /** Polls no more and finishes the delivery in hand; what has no answer after `timeoutMs` is not settled. */
  async stop(timeoutMs: number): Promise<void> {
    const { clock } = this.#deps;
    this.#stop.abort();
    this.#wake();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    let cancel = clock.after(timeoutMs, () => {
      this.#settler.abort();
      // A disk that takes no writes holds the last settlement for ever; its item comes again with the next start.
      cancel = clock.after(SETTLE_GRACE_MS, resolve);
    });
    await Promise.race([this.#running, late]);
    cancel();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const end = await this.#cycle().catch((error): CycleEnd => {
        this.#deps.log.error("The edge connector failed: {reason}", { reason: failureOf(error) });
        return { kind: "poll_failed", retryAfterMs: null };
      });
      await this.#pause(this.#paceAfter(end), end);
    }
  }

  /** How long to wait before the next poll. */
  #paceAfter(end: CycleEnd): number {
    const { clock, random } = this.#deps;
    const { delayMs, pacing } = pace(this.#pacing, end, this.#intervals, random);
    // What a failed poll beside the batch asks for stays due, whatever became of the batch.
    if (end.kind === "poll_failed" || this.#notBefore <= clock.monotonic()) this.#pacing = pacing;
    if (end.kind === "poll_failed") this.#notBefore = clock.monotonic() + delayMs;
    return delayMs;
  }

  async #cycle(): Promise<CycleEnd> {
    const { observer } = this.#deps;
    // Done while ilert answers, so that the first delivery hardly waits for it.
    this.#settler.hasten();
    const answer = await this.#poll(this.#stop.signal);
    if (answer.kind === "failed") return { kind: "poll_failed", retryAfterMs: answer.retryAfterMs };
    const { items } = answer;
    if (this.#progress.role === "standby" || items.length === 0) {
      this.#isBehind = false;
      this.#rest();
      return this.#progress.role === "standby"
        ? { kind: "standby" }
        : { kind: "settled", mayHaveMore: false };
    }
    observer.received(items.length);
    this.#inHand = items.length;
    try {
      return await this.#besidePolls(() => this.#settle(answer));
    } finally {
      observer.givenBack(this.#inHand);
      this.#inHand = 0;
    }
  }

  /** ilert has nothing for this agent. A returned item that fails goes on failing, which no poll mends. */
  #rest(): void {
    const { health } = this.#deps;
    if (this.#settler.hasReturned) health.heading(null);
    else health.idle();
  }

  async #poll(signal: AbortSignal): Promise<PollAnswer> {
    const { clock, health, observer } = this.#deps;
    this.#askedAt = clock.monotonic();
    const answer = await this.#source.poll(this.#progress.query(), signal);
    if (answer.kind === "failed") {
      if (signal.aborted) return answer;
      observer.polled("failed");
      health.pollFailed(answer.reason);
      return answer;
    }
    health.polled();
    this.#pacing = { ...this.#pacing, failuresInARow: 0 };
    this.#hear(answer.role);
    const isStandby = this.#progress.role === "standby";
    observer.polled(isStandby ? "standby" : answer.items.length === 0 ? "empty" : "items");
    return answer;
  }

  #hear(role: Batch["role"]): void {
    const { log } = this.#deps;
    const before = this.#progress.role;
    this.#progress.hear(role);
    const now = this.#progress.role;
    if (now === before) return;
    // The first role is no news.
    if (before === null) log.info("This agent is the {role}", { role: now });
    else log.warn("This agent is the {role} now", { role: now });
  }

  async #settle(batch: Batch): Promise<CycleEnd> {
    const { health } = this.#deps;
    const { items, isFull } = batch;
    const ids = items.map(idOf);
    this.#warnOfOddIds(ids);
    const { after } = this.#progress;
    const wasBehind = this.#isBehind;
    this.#isBehind = isBehind(ids, after);
    const positions = cursorPositions(ids, after, wasBehind && this.#isBehind);
    const { term } = this.#progress;
    const batchAt = this.#askedAt;
    await this.#settler.kept(this.#stop.signal);
    let at = 0;
    const course: Course = {
      term,
      mayGoOn: () => this.#endEarly(batchAt, term) === null,
      settled: () => {
        at++;
        this.#inHand--;
        health.heading(timestampOf(items[at]));
      },
    };
    health.heading(timestampOf(items[at]));
    while (at < items.length) {
      // However late ilert's answer was, one delivery brings the agent on.
      if (at > 0) await this.#endPollBeside();
      const early = at > 0 ? this.#endEarly(batchAt, term) : null;
      if (early !== null) return early;
      if (this.#stop.signal.aborted || !await this.#settler.settleReturned()) return { kind: "stopped" };
      const portion = items.slice(at, at + this.#settler.portionMax);
      if (!await this.#settler.settle(portion, positions.slice(at), course)) return { kind: "stopped" };
    }
    if (!isFull) health.heading(null);
    return { kind: "settled", mayHaveMore: isFull && positions.some((position) => position !== null) };
  }

  /** Why what is not begun of the batch is to be left; null where it goes on. */
  #endEarly(batchAt: number, term: number): CycleEnd | null {
    if (this.#stop.signal.aborted) return { kind: "stopped" };
    const { role } = this.#progress;
    if (role === null) return null;
    if (role === "standby") return { kind: "standby" };
    const isLong = this.#deps.clock.monotonic() - batchAt >= this.#intervals.pollMs;
    return isLong || this.#progress.term !== term ? { kind: "broken_off" } : null;
  }

  /**
   * In high availability, polls each interval while one delivery takes long, or ilert would take this agent for dead;
   * after a failed poll not before its backoff is over.
   */
  async #besidePolls<T>(work: () => Promise<T>): Promise<T> {
    if (this.#progress.role === null) return await work();
    const { clock } = this.#deps;
    const endsAt = clock.monotonic() + this.#intervals.pollMs + BESIDE_MAX_MS;
    let cancel = () => {};
    const arm = () => {
      if (clock.monotonic() > endsAt) return;
      const dueAt = () => Math.max(this.#askedAt + this.#intervals.pollMs, this.#notBefore);
      cancel = clock.after(Math.max(dueAt() - clock.monotonic(), BESIDE_MIN_MS), () => {
        // The one before it may have failed since.
        if (dueAt() <= clock.monotonic()) this.#startPollBeside();
        arm();
      });
    };
    arm();
    try {
      return await work();
    } finally {
      cancel();
      await this.#endPollBeside();
    }
  }

  /** Its items are left alone: those in hand go on while this agent leads. */
  #startPollBeside(): void {
    if (this.#beside !== null || this.#stop.signal.aborted) return;
    const abort = new AbortController();
    const over = this.#poll(abort.signal).then((answer) => {
      if (answer.kind === "failed" && !abort.signal.aborted) {
        this.#paceAfter({ kind: "poll_failed", retryAfterMs: answer.retryAfterMs });
      }
    }).finally(() => this.#beside = null);
    this.#beside = { over, abort };
  }

  async #endPollBeside(): Promise<void> {
    this.#beside?.abort.abort();
    await this.#beside?.over;
  }

  async #pause(delayMs: number, end: CycleEnd): Promise<void> {
    const { clock } = this.#deps;
    // A leader that is silent for longer than this may lose its place, so its interval counts from the poll.
    const isCounted = this.#progress.role === "leader" && end.kind !== "poll_failed";
    const paced = (isCounted ? this.#askedAt : clock.monotonic()) + delayMs;
    const until = Math.max(paced, this.#notBefore);
    if (until <= clock.monotonic()) return;
    if (end.kind !== "stopped") await this.#besidePolls(() => this.#settler.settleReturned());
    while (!this.#stop.signal.aborted) {
      const leftMs = until - clock.monotonic();
      if (leftMs <= 0) return;
      const isWoken = await this.#sleep(leftMs);
      if (isWoken && !this.#stop.signal.aborted) {
        await this.#besidePolls(() => this.#settler.settleReturned());
      }
    }
  }

  #sleep(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(ms, () => resolve(false));
      this.#wake = () => {
        cancel();
        resolve(true);
      };
    });
  }

  #warnOfOddIds(ids: (string | null)[]): void {
    const { after } = this.#progress;
    const odd = firstOddId(ids, after);
    if (odd === null) return;
    const message =
      "ilert's items are not in the order of their ids, first {id}; they are delivered as they came";
    this.#deps.log.warn(message, { id: odd });
  }
}

function idOf(polled: PolledItem): string | null {
  return polled.kind === "item" ? polled.item.id : polled.id;
}

function timestampOf(polled: PolledItem | undefined): string {
  return polled?.kind === "item" ? factsOf(polled.item).timestamp : "";
}
