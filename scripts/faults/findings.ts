/** What a scenario found out: figures, and checks that hold or do not. */

export type Finding =
  | { kind: "value"; name: string; value: number; unit: string; ratio?: { value: number; to: string } }
  | { kind: "check"; name: string; checked: string; failure: string | null }
  | { kind: "skipped"; name: string; why: string };

/** Of an error, so that a check stays one line. */
const FAILURE_CHARACTERS_MAX = 600;

export class Findings {
  readonly all: Finding[] = [];
  readonly #tell: (finding: Finding) => void;

  /** `tell` gets each finding as soon as it is known: a long run should not be silent. */
  constructor(tell: (finding: Finding) => void = () => {}) {
    this.#tell = tell;
  }

  /** One line per check that does not hold. */
  get failures(): string[] {
    return this.all.flatMap((finding) =>
      finding.kind === "check" && finding.failure !== null ? [lineOf(finding)] : []
    );
  }

  value(name: string, value: number, unit: string, baseline?: { value: number; name: string }): void {
    const ratio = baseline === undefined ? {} : {
      ratio: { value: baseline.value === 0 ? 0 : value / baseline.value, to: baseline.name },
    };
    this.add({ kind: "value", name, value, unit, ...ratio });
  }

  /** `failure`: what was seen instead; null where the check holds. */
  check(name: string, checked: string, failure: string | null): void {
    this.add({ kind: "check", name, checked, failure: failure === null ? null : oneLine(failure) });
  }

  /** Passes unless `body` throws: its assertions are the check. One that fails does not keep others from running. */
  async attempt(name: string, checked: string, body: () => void | Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      return this.check(name, checked, reasonOf(error));
    }
    this.check(name, checked, null);
  }

  skip(name: string, why: string): void {
    this.add({ kind: "skipped", name, why });
  }

  add(finding: Finding): void {
    this.all.push(finding);
    this.#tell(finding);
  }
}

export function lineOf(finding: Finding): string {
  switch (finding.kind) {
    case "value": {
      const { name, value, unit, ratio } = finding;
      const beside = ratio === undefined ? "" : ` (${rounded(ratio.value)} of ${ratio.to})`;
      return `${name} ${rounded(value)} ${unit}${beside}`;
    }
    case "check":
      return `${finding.name}: ${finding.checked}, ${
        finding.failure === null ? "passed" : `FAILED: ${finding.failure}`
      }`;
    case "skipped":
      return `${finding.name}: skipped: ${finding.why}`;
  }
}

function rounded(value: number): string {
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " | ").slice(0, FAILURE_CHARACTERS_MAX);
}

/** fast-check says how to replay a failure; what was wrong is in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.cause.message}: ${error.message}` : error.message;
}
