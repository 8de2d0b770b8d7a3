/** When to poll again. Pure: randomness is a parameter. Source: seeds/001, "Polling configuration"; contract §5. */

export type CycleEnd =
  /** Everything in the batch was settled, or there was none. `mayHaveMore`: it was full, and brought the cursor on. */
  | { kind: "settled"; mayHaveMore: boolean }
  /** A retryable failure stopped the batch. */
  | { kind: "stopped" }
  /** The batch took so long that ilert had to hear of it. */
  | { kind: "broken_off" }
  | { kind: "standby" }
  | { kind: "poll_failed"; retryAfterMs: number | null };

export interface PollIntervals {
  pollMs: number;
  standbyMs: number;
}

/** What the next delay depends on beside the end of this cycle. */
export interface Pacing {
  readonly failuresInARow: number;
  /** Polls that followed a full batch at once. */
  readonly drainsInARow: number;
}

export const FIRST_PACING: Pacing = { failuresInARow: 0, drainsInARow: 0 };

const DRAINS_IN_A_ROW_MAX = 10;
const BACKOFF_BASE_MS = 5_000;
const BACKOFF_CAP_MS = 300_000;
/** Upwards only, so that no agent asks earlier than promised, and many do not ask together. */
const JITTER = 0.2;

export function pace(
  pacing: Pacing,
  end: CycleEnd,
  intervals: PollIntervals,
  random: () => number,
): { delayMs: number; pacing: Pacing } {
  switch (end.kind) {
    case "settled": {
      if (!end.mayHaveMore || pacing.drainsInARow >= DRAINS_IN_A_ROW_MAX) {
        return { delayMs: intervals.pollMs, pacing: FIRST_PACING };
      }
      return { delayMs: 0, pacing: { failuresInARow: 0, drainsInARow: pacing.drainsInARow + 1 } };
    }
    case "stopped":
      return { delayMs: intervals.pollMs, pacing: FIRST_PACING };
    case "broken_off":
      return { delayMs: 0, pacing: FIRST_PACING };
    case "standby":
      return { delayMs: intervals.standbyMs, pacing: FIRST_PACING };
    case "poll_failed": {
      const failuresInARow = pacing.failuresInARow + 1;
      const askedMs = Math.min(end.retryAfterMs ?? 0, BACKOFF_CAP_MS);
      return {
        delayMs: Math.max(backoffMs(failuresInARow, random), askedMs),
        pacing: { failuresInARow, drainsInARow: 0 },
      };
    }
  }
}

function backoffMs(failures: number, random: () => number): number {
  const bareMs = BACKOFF_BASE_MS * 2 ** Math.min(failures - 1, 30);
  return Math.min(BACKOFF_CAP_MS, Math.round(bareMs * (1 + JITTER * random())));
}
