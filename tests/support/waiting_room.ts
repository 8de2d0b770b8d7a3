/** Waiting: for a condition, looked at whenever something happened instead of on a clock, and for time. */

export interface UntilOptions {
  timeoutMs: number;
  signal?: AbortSignal;
  /** Says, at the timeout, how far things got. */
  describe: () => string;
}

interface Waiter {
  isMet: () => boolean;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

export class WaitingRoom {
  readonly #waiters = new Set<Waiter>();

  /** To be called after every change. Costs nothing while nobody waits. */
  check(): void {
    for (const waiter of this.#waiters) settleIfMet(waiter);
  }

  /** Rejects with an Error at the timeout, with the signal's reason, or with what the condition threw. */
  async until(isMet: () => boolean, { timeoutMs, signal, describe }: UntilOptions): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { isMet, resolve, reject };
    const timer = setTimeout(() => reject(new Error(`${describe()} (waited ${timeoutMs} ms)`)), timeoutMs);
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    this.#waiters.add(waiter);
    try {
      settleIfMet(waiter);
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Rejects everyone who still waits. */
  close(reason: Error): void {
    for (const { reject } of this.#waiters) reject(reason);
  }
}

/** Ends early, without an error, when one of the signals fires. */
export async function sleep(ms: number, signals: AbortSignal[]): Promise<void> {
  if (signals.some(({ aborted }) => aborted)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = ms === Infinity ? undefined : setTimeout(resolve, ms);
  const onAbort = () => resolve();
  for (const signal of signals) signal.addEventListener("abort", onAbort);
  await promise;
  for (const signal of signals) signal.removeEventListener("abort", onAbort);
  clearTimeout(timer);
}

function settleIfMet({ isMet, resolve, reject }: Waiter): void {
  try {
    if (isMet()) resolve();
  } catch (error) {
    reject(error);
  }
}
