/** How fast a number of events goes in and out again, for comparing two agents with each other. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import type { ApiClient, LoadClient, Stage } from "./stage.ts";
import type { Comparison } from "./statistics.ts";

const DELIVERY_MS_MAX = 120_000;

/** Events per second, from the first POST to the last arrival. Rejects when some do not arrive. */
export async function throughput(
  agent: AgentProcess,
  api: ApiClient,
  generator: LoadClient,
  events: number,
): Promise<number> {
  await api.reset();
  const { accepted, startedAt } = await generator.load({ url: agent.url, until: { events } });
  const { delivered, lastAt } = await api.until(accepted, DELIVERY_MS_MAX);
  if (delivered < accepted) throw new Error(`Only ${delivered} of ${accepted} events arrived at the API`);
  return 1_000 * accepted / ((lastAt ?? NaN) - startedAt);
}

export function noteRounds(stage: Stage, name: string, { ratios }: Comparison): void {
  stage.note(`${name}: ratios of the rounds ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}`);
}
