/**
 * Generated cases for the intake and for the queue. As a program of its own: the circumstances as JSON in the first
 * argument, findings as JSON lines on stdout.
 */

import { Findings } from "../../scripts/faults/findings.ts";
import type { Circumstances } from "../../scripts/faults/scenario.ts";
import { fuzzIntake } from "./intake_fuzz.ts";
import { fuzzQueue } from "./queue_fuzz.ts";

const CASES_LONG = 10_000, CASES_SHORT = 200;

export async function tryFuzz(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, seed, isLong } = circumstances;
  const cases = circumstances.cycles ?? (isLong ? CASES_LONG : CASES_SHORT);
  const again = `seed ${seed}, ${cases} cases`;
  await findings.attempt("fuzz.queue", `the queue does what its model does (${again})`, async () => {
    await fuzzQueue(cases, seed);
  });
  await findings.attempt(
    "fuzz.intake",
    `each 200 is one event, nothing else is one, no crash (${again})`,
    async () => {
      await fuzzIntake(command, cases, seed);
    },
  );
}

if (import.meta.main) {
  const findings = new Findings((finding) => console.log(JSON.stringify(finding)));
  await tryFuzz(JSON.parse(Deno.args[0] ?? ""), findings);
}
