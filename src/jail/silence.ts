/** Notices a worker that no longer answers: one that exits, or blocks, says nothing. */

import { ALIVE_INTERVAL_MS } from "./messages.ts";

export interface SilenceWatch {
  /** The worker has spoken, and may now be silent for `maxMs`. */
  heard(maxMs: number): void;
  stop(): void;
}

export function watchForSilence(firstMaxMs: number, onSilence: (seconds: number) => void): SilenceWatch {
  let heardAt = performance.now();
  let tickedAt = heardAt;
  let limitMs = firstMaxMs;
  const timer = setInterval(() => {
    const now = performance.now();
    // This thread was stopped too (SIGSTOP, a suspended machine): the worker had no chance to answer.
    if (now - tickedAt > 4 * ALIVE_INTERVAL_MS) heardAt = now;
    tickedAt = now;
    if (now - heardAt > limitMs) onSilence(Math.round((now - heardAt) / 1000));
  }, ALIVE_INTERVAL_MS);
  return {
    heard(maxMs) {
      heardAt = performance.now();
      limitMs = maxMs;
    },
    stop: () => clearInterval(timer),
  };
}
