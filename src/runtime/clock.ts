/** Time as a dependency, so that tests can run hours in milliseconds. */
export interface Clock {
  /** ms since the epoch; jumps when somebody sets the clock. */
  now(): number;
  /** ms since some moment; never jumps. */
  monotonic(): number;
  /** Calls back once after `delayMs`; the answer cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};
