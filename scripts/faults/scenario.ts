/** What every scenario is given. */

import type { AgentCommand } from "../../tests/support/agent_process.ts";
import type { Findings } from "./findings.ts";

export interface Circumstances {
  /** The agent to be tried. */
  command: AgentCommand;
  /** Of all that is random; the moments themselves are the machine's. */
  seed: number;
  /** Kills, or generated cases; null for the scenario's own number. */
  cycles: number | null;
  /** The form that takes its time, or the one for `deno task test`. */
  isLong: boolean;
}

export type Scenario = (circumstances: Circumstances, findings: Findings) => Promise<void>;

/** mulberry32: small, and the same sequence on every machine. From 0 to 1. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
