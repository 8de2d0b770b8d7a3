/** When to try again. Pure: time and randomness are parameters. */

export interface RetryPolicy {
  /** Upper bound of the first delay, doubled by each further failure. */
  baseMs: number;
  /** Upper bound of any delay. */
  capMs: number;
  /** Failed attempts that may be followed by another one; 0 means unlimited. */
  retriesMax: number;
}

export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 60_000;

/** A Retry-After beyond this is taken as this: a typo at the other end must not park an alert for a week. */
export const RETRY_AFTER_MAX_MS = 3_600_000;

/**
 * When the next attempt is due, in ms since the epoch, after `failures` failed ones; null when there is none left.
 * Exponential backoff with full jitter: a random delay between 0 and the bound spreads a herd of retries best
 * (AWS Architecture Blog, "Exponential Backoff And Jitter").
 */
export function nextAttemptAt(
  failures: number,
  now: number,
  policy: RetryPolicy,
  random: () => number,
): number | null {
  if (policy.retriesMax > 0 && failures > policy.retriesMax) return null;
  return now + Math.round(random() * backoffBoundMs(failures, policy));
}

/** The longest delay after `failures` failed attempts (at least 1). */
export function backoffBoundMs(failures: number, policy: Pick<RetryPolicy, "baseMs" | "capMs">): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  return Math.min(policy.capMs, policy.baseMs * 2 ** doublings);
}

/** Reads a Retry-After header (RFC 9110 §10.2.3: seconds or an HTTP date) as ms; null where it says nothing usable. */
export function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  // Date.parse alone would read "-5" as a year.
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : /^[A-Za-z]/.test(text) ? Date.parse(text) - now : NaN;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS);
}
