/**
 * Taking events goes before passing them on: a sender that is refused or kept waiting may lose its event, one that is
 * in the file is safe. While events pour in faster than any on-call rotation could read them, deliveries leave at a
 * moderate rate, so that the one event loop has time for the intake; the rest follows when the storm is over.
 */

/** Accepted events a second from which the intake counts as pressed. */
const PRESSED_PER_SECOND = 2_000;
const DELIVERIES_PER_SECOND = 1_500;
const WINDOW_MS = 50;

export class IntakePriority {
  #windowAt = 0;
  #accepted = 0;
  /** Deliveries that may still begin in this window. */
  #allowance = Infinity;

  /** Whether a delivery may begin; `accepted` is the ledger's total, `now` of the monotonic clock. */
  admits(accepted: number, now: number): boolean {
    if (now - this.#windowAt >= WINDOW_MS) this.#nextWindow(accepted, now);
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  /** When a delivery that was not admitted may begin; null where none is held back. */
  get nextAt(): number | null {
    return this.#allowance < 1 ? this.#windowAt + WINDOW_MS : null;
  }

  #nextWindow(accepted: number, now: number): void {
    const seconds = (now - this.#windowAt) / 1000;
    const rate = (accepted - this.#accepted) / seconds;
    this.#allowance = rate < PRESSED_PER_SECOND ? Infinity : DELIVERIES_PER_SECOND * WINDOW_MS / 1000;
    this.#windowAt = now;
    this.#accepted = accepted;
  }
}
