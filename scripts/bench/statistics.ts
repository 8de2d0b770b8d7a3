/** What the benches make of their samples. */

/** NaN of nothing. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? NaN) + upper) / 2 : upper;
}

/** The smallest sample that at least this share of all is not above; NaN of nothing. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

export interface Comparison {
  /** Medians over the rounds. */
  value: number;
  baseline: number;
  ratio: number;
  /** Of the single rounds, to tell noise from a result. */
  ratios: number[];
}

/**
 * baseline, subject, baseline, subject, …, baseline: every subject is compared with the mean of its two neighbours,
 * so that a machine that grows slower or faster meanwhile does the same to both.
 */
export async function interleaved(
  rounds: number,
  baseline: () => Promise<number>,
  subject: () => Promise<number>,
): Promise<Comparison> {
  const values: number[] = [];
  const baselines = [await baseline()];
  for (let round = 0; round < rounds; round++) {
    values.push(await subject());
    baselines.push(await baseline());
  }
  const ratios = values.map((value, round) =>
    2 * value / ((baselines[round] ?? NaN) + (baselines[round + 1] ?? NaN))
  );
  return { value: median(values), baseline: median(baselines), ratio: median(ratios), ratios };
}
