/** Sending one thing from the command line: a few attempts, over within a minute. */

import { nextAttemptAt, type RetryPolicy } from "../domain/retry_policy.ts";

/** At least three attempts; the delays of five stay below 15 s even without luck. */
const POLICY: RetryPolicy = { baseMs: 1_000, capMs: 8_000, retriesMax: 4 };
const DEADLINE_MS = 55_000;

export interface Attempt {
  /** Null where another attempt may help. */
  exitCode: number | null;
  reason: string;
  /** What the other end asked for, in ms since the epoch. */
  notBefore: number | null;
}

/** Answers with the exit code; `report` gets the reason of a failure, once. */
export async function attemptUntilDone(
  attempt: (signal: AbortSignal) => Promise<Attempt>,
  stop: AbortSignal,
  report: (reason: string) => void,
): Promise<number> {
  const startedAt = Date.now();
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const signal = AbortSignal.any([stop, deadline]);
  let reason = "";
  for (let failures = 1;; failures++) {
    const result = await attempt(signal);
    if (result.exitCode !== null) {
      if (result.exitCode !== 0) report(result.reason);
      return result.exitCode;
    }
    const dueAt = nextAttemptAt(failures, Date.now(), POLICY, Math.random);
    const at = dueAt === null ? null : Math.max(dueAt, result.notBefore ?? 0);
    // What an attempt says that was cut off hides why the ones before it failed.
    if (!signal.aborted || failures === 1) reason = result.reason;
    if (at === null || at - startedAt > DEADLINE_MS || signal.aborted) {
      const times = failures === 1 ? "1 attempt" : `${failures} attempts`;
      report(`${reason} (${times})`);
      return 1;
    }
    await pause(at - Date.now(), signal);
  }
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener("abort", done);
  });
}
