/**
 * Whether the edge connector works, for `/ready`, the log and heartbeats.
 *
 *   no poll yet ─┐                 ┌── failed poll or delivery ──▶ failing
 *                └── first poll ──▶ working ◀──────────────────────┘
 *                                     delivery, empty poll, or standby
 *
 * Beside that, a delivery may wait: for a target that neither takes it nor refuses it.
 */

import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";

export class EdgeHealth {
  readonly #lagMaxMs: number;
  readonly #clock: Clock;
  readonly #log: Log;
  #isPolling = false;
  #error: string | null = "no successful poll yet";
  #failingSince: number | null = null;
  /** When the last poll succeeded, or the start. */
  #heardAt: number;
  /** When the first item that is not settled came about, as its payload has it; null where none is known. */
  #front: string | null = null;
  #isLate = false;
  /** Why the delivery in hand waits, and since when by the monotonic clock; null while it does not. */
  #waiting: { reason: string; since: number } | null = null;

  constructor(lagMaxMs: number, deps: { clock: Clock; log: Log }) {
    this.#lagMaxMs = lagMaxMs;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#heardAt = deps.clock.monotonic();
  }

  /** Whether the last poll succeeded. */
  get isPolling(): boolean {
    return this.#isPolling;
  }

  /** What is wrong, as one clause; null while all is well. */
  get error(): string | null {
    const error = this.#error ?? this.#wait();
    if (error === null || !this.isLate) return error;
    return `${error}; ${this.#lateness()}`;
  }

  /**
   * How old the oldest event is that was not delivered, in ms. While polls fail nobody knows, and it may be as old as
   * the last successful one.
   */
  get lagMs(): number {
    // Looked at here, twice a second, and not with each item.
    const frontAt = this.#front === null ? NaN : Date.parse(this.#front);
    if (!Number.isNaN(frontAt)) return Math.max(0, this.#clock.now() - frontAt);
    return this.#isPolling ? 0 : this.#clock.monotonic() - this.#heardAt;
  }

  get isLate(): boolean {
    return this.lagMs >= this.#lagMaxMs;
  }

  polled(): void {
    this.#isPolling = true;
    this.#heardAt = this.#clock.monotonic();
    if (this.#failingSince === null) this.#error = null;
  }

  pollFailed(reason: string): void {
    this.#isPolling = false;
    this.#fail(reason, "Polling ilert failed: {reason}");
  }

  /** `timestamp` is that of the first item that is not settled, as its payload has it; null where none is left. */
  heading(timestamp: string | null): void {
    this.#front = timestamp;
  }

  delivered(): void {
    this.#recover();
  }

  deliveryFailed(reason: string): void {
    this.#fail(reason, "Deliveries stopped: {reason}; the same item is tried again with the next poll");
  }

  /** The delivery in hand has waited for `ms`, and does for as long as it takes: `reason` is one clause. */
  waits(reason: string, ms: number): void {
    this.#waiting = { reason, since: this.#clock.monotonic() - ms };
    this.#log.error("Deliveries wait: {reason}; nothing is dropped", { reason: this.#wait() });
  }

  goesOn(): void {
    if (this.#waiting === null) return;
    this.#log.warn("Deliveries go on after {seconds} s", {
      seconds: this.#secondsSince(this.#waiting.since),
    });
    this.#waiting = null;
  }

  /** Nothing waits for this agent: ilert has no more items, or another agent is the leader. */
  idle(): void {
    this.#front = null;
    this.#recover();
  }

  /** Says in the log once when events become so late that ilert may drop them, and once when they no longer are. */
  watchLag(): void {
    if (this.isLate === this.#isLate) return;
    this.#isLate = this.isLate;
    if (this.#isLate) this.#log.error("{lateness}", { lateness: this.#lateness() });
    else this.#log.warn("Events are no longer late");
  }

  #lateness(): string {
    const days = Math.floor(this.lagMs / 8_640_000) / 10;
    return `events may be ${days} days late, and ilert drops them after 7 days`;
  }

  #wait(): string | null {
    if (this.#waiting === null) return null;
    const { reason, since } = this.#waiting;
    return `${reason} since ${this.#secondsSince(since)} s`;
  }

  #secondsSince(at: number): number {
    return Math.round((this.#clock.monotonic() - at) / 1000);
  }

  #fail(reason: string, message: string): void {
    if (reason !== this.#error) this.#log.error(message, { reason });
    this.#error = reason;
    this.#failingSince ??= this.#clock.monotonic();
  }

  #recover(): void {
    if (this.#failingSince !== null) {
      const seconds = this.#secondsSince(this.#failingSince);
      this.#log.warn("The edge connector works again, after {seconds} s", { seconds });
    }
    this.#failingSince = null;
    this.#error = null;
  }
}
