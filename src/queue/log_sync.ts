/** fsyncs that nobody waits for unless they say so: one at a time, and what is asked for meanwhile is the next one. */
export class LogSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  /** `sync` resolves when all that was committed before the call will survive a loss of power. */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Resolves when all that was committed before the call will survive a loss of power; so may many calls together. */
  request(): Promise<void> {
    if (this.#running === null) return this.#start();
    this.#next ??= this.#running.then(() => this.#start());
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = null;
    // A failing fsync is not caught: whether the kernel still has the pages nobody can tell, so the agent ends.
    this.#running = this.#sync().then(() => {
      this.#running = null;
    });
    return this.#running;
  }
}
