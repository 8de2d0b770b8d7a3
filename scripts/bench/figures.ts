/** What a bench found: one line for people, one object for machines. */

export interface Target {
  /** What the target is about. */
  of: "value" | "ratio";
  min?: number;
  max?: number;
}

export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** The value of the baseline, in the same unit; null where nothing bare does the same work. */
  baseline: number | null;
  ratio: number | null;
  target: Target | null;
  /** Null without a target. */
  met: boolean | null;
}

export interface Measured {
  name: string;
  value: number;
  unit: string;
  baseline?: number;
  /** Where it is not simply value ÷ baseline. */
  ratio?: number;
  target?: Target;
}

export function figureOf(measured: Measured): Figure {
  const { name, value, unit, baseline = null, target = null } = measured;
  const ratio = measured.ratio ?? (baseline === null ? null : value / baseline);
  return {
    name,
    value: rounded(value),
    unit,
    baseline: baseline === null ? null : rounded(baseline),
    ratio: ratio === null ? null : Number(ratio.toFixed(3)),
    target,
    met: target === null ? null : isMet(target, target.of === "ratio" ? ratio : value),
  };
}

/** `intake 6120 events/s (0.38 of baseline 16100) target ratio ≥ 0.35: met` */
export function lineOf({ name, value, unit, baseline, ratio, target, met }: Figure): string {
  const beside = baseline === null || ratio === null ? "" : ` (${ratio.toFixed(2)} of baseline ${baseline})`;
  return `${name} ${value} ${unit}${beside}${
    target === null ? "" : ` target ${targetText(target, unit)}: ${met ? "met" : "short"}`
  }`;
}

function targetText({ of, min, max }: Target, unit: string): string {
  const limit = min === undefined ? `≤ ${max}` : `≥ ${min}`;
  return of === "ratio" ? `ratio ${limit}` : `${limit} ${unit}`;
}

/** A figure that could not be had (NaN) meets nothing. */
function isMet({ min = -Infinity, max = Infinity }: Target, actual: number | null): boolean {
  return actual !== null && actual >= min && actual <= max;
}

/** More digits than the noise leaves would only look exact. */
function rounded(value: number): number {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(3));
}
