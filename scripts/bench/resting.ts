/** What processes hold while nothing happens. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { residentMegabytes } from "./process_figures.ts";
import { median } from "./statistics.ts";

/** After it V8 has collected what the start left behind. */
const REST_MS = 10_000;
const SAMPLES = 10, SAMPLE_INTERVAL_MS = 200;

/** Resident MB of each, in the same minute. Resolves after some 12 s; on Linux only. */
export async function restingMegabytes(processes: readonly AgentProcess[]): Promise<number[]> {
  await Promise.all(processes.map((process) => process.ready()));
  await pause(REST_MS);
  const samples = processes.map((): number[] => []);
  for (let count = 0; count < SAMPLES; count++) {
    for (const [at, { pid }] of processes.entries()) samples[at]?.push(residentMegabytes(pid));
    await pause(SAMPLE_INTERVAL_MS);
  }
  return samples.map(median);
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
