/** Sending one thing from the command line: a few attempts, over within a minute. */

import { nextAttemptAt, type RetryPolicy } from "../domain/retry_policy.ts";

/** The delays between five attempts stay below 15 s even without luck. */
const POLICY: RetryPolicy = { baseMs: 1_000, capMs: 8_000, retriesMax: 4 };
const DEADLINE_MS = 55_000;
/** So that three attempts fit below the deadline, whatever the other end does or asks for. */
const ATTEMPT_MS = 14_000;
const RETRY_AFTER_MAX_MS = 6_000;

export interface Attempt {
  /** Null where another attempt may help. */
  exitCode: number | null;
  reason: string;
  /** What the other end asked for. */
  retryAfterMs: number | null;
}

/** Answers with the exit code; `report` gets the reason of a failure, once. */
export async function attemptUntilDone(
  attempt: (signal: AbortSignal) => Promise<Attempt>,
  stop: AbortSignal,
  report: (reason: string) => void,
): Promise<number> {
  const startedAt = Date.now();
  let reason = "";
  for (let failures = 1;; failures++) {
    const limit = AbortSignal.timeout(ATTEMPT_MS);
    const result = await attempt(AbortSignal.any([stop, limit]));
    if (result.exitCode !== null) {
      if (result.exitCode !== 0) report(result.reason);
      return result.exitCode;
    }
    const dueAt = nextAttemptAt(failures, Date.now(), POLICY, Math.random);
    const asked = Math.min(result.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
    const at = dueAt === null ? null : Math.max(dueAt, Date.now() + asked);
    // What an attempt says that was cut off hides why the ones before it failed.
    if (!stop.aborted || failures === 1) {
      reason = limit.aborted ? `no answer within ${ATTEMPT_MS / 1000} s` : result.reason;
    }
    if (at === null || at - startedAt + ATTEMPT_MS > DEADLINE_MS || stop.aborted) {
      const times = failures === 1 ? "1 attempt" : `${failures} attempts`;
      report(`${reason} (${times})`);
      return 1;
    }
    await pause(at - Date.now(), stop);
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
