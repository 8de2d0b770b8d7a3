import { clearImmediate, setImmediate } from "node:timers";

/**
 * Runs a callback in the next turn of the event loop: after what has already arrived, and far sooner than the shortest
 * timer. At most one call is pending.
 */
export class NextTurn implements Disposable {
  readonly #callback: () => void;
  #pending: ReturnType<typeof setImmediate> | null = null;
  #isOver = false;

  constructor(callback: () => void) {
    this.#callback = callback;
  }

  request(): void {
    if (this.#isOver) return;
    this.#pending ??= setImmediate(() => {
      this.#pending = null;
      this.#callback();
    });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    if (this.#pending !== null) clearImmediate(this.#pending);
  }
}
