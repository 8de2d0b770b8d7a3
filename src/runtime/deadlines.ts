/** Time limits for very many short operations: one timer and one signal for all that begin in the same quarter of a second. */

interface Window {
  controller: AbortController;
  closesAt: number;
  close(): void;
}

/** How much longer than asked an operation may get. */
const WINDOW_MS = 250;

export class Deadlines implements Disposable {
  readonly #limitMs: number;
  /** The window that new operations join, for each signal that may end them earlier. */
  readonly #open = new Map<AbortSignal, Window>();
  readonly #windows = new Set<Window>();

  /** Operations are ended between `limitMs` and a quarter of a second more after they began. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Aborted when the time is over or when `outer` is, whichever comes first. */
  signal(outer: AbortSignal): AbortSignal {
    const open = this.#open.get(outer);
    if (open !== undefined && performance.now() < open.closesAt) return open.controller.signal;
    return this.#openWindow(outer).controller.signal;
  }

  /**
   * Runs `work` with such a signal of its own. For `fetch`: it ties all it has for a request to the signal through a
   * weak reference, which V8's frequent small collections take for a strong one. With a shared signal they would copy
   * what hundreds of finished requests have left; what a signal of its own holds dies with it.
   */
  async within<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = this.signal(outer);
    const own = new AbortController();
    const abort = () => own.abort();
    if (limit.aborted) abort();
    limit.addEventListener("abort", abort);
    try {
      return await work(own.signal);
    } finally {
      limit.removeEventListener("abort", abort);
    }
  }

  [Symbol.dispose](): void {
    for (const window of this.#windows) window.close();
  }

  #openWindow(outer: AbortSignal): Window {
    const controller = new AbortController();
    const abort = () => {
      controller.abort();
      window.close();
    };
    const timer = setTimeout(abort, this.#limitMs + WINDOW_MS);
    const window: Window = {
      controller,
      closesAt: performance.now() + WINDOW_MS,
      close: () => {
        clearTimeout(timer);
        outer.removeEventListener("abort", abort);
        this.#windows.delete(window);
        if (this.#open.get(outer) === window) this.#open.delete(outer);
      },
    };
    outer.addEventListener("abort", abort);
    if (outer.aborted) controller.abort();
    this.#open.set(outer, window);
    this.#windows.add(window);
    return window;
  }
}
