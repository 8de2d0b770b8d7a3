/** What it costs to watch the agent: logs at info, and `/metrics` scraped each second. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import type { Stage } from "./stage.ts";
import { interleaved } from "./statistics.ts";
import { noteRounds, throughput } from "./throughput.ts";

const ROUNDS = 4;
const EVENTS = 20_000;
const WARM_UP_EVENTS = 5_000;
const SCRAPE_INTERVAL_MS = 1_000, SCRAPE_MS_MAX = 5_000;
const RATIO_MIN = 0.95;

export async function observability(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const silent = await stage.agent({ apiUrl: api.url });
  const watched = await stage.agent({ apiUrl: api.url, args: ["-v", "-v"] });
  for (const agent of [silent, watched]) await throughput(agent, api, generator, WARM_UP_EVENTS);

  const hasMetrics = await scrape(watched);
  if (!hasMetrics) stage.note("observability: no /metrics yet; measured with logs only");
  const events = stage.scaled(EVENTS, 1_000);
  const rates = await interleaved(
    ROUNDS,
    () => throughput(silent, api, generator, events),
    async () => {
      const timer = hasMetrics ? setInterval(() => void scrape(watched), SCRAPE_INTERVAL_MS) : undefined;
      try {
        return await throughput(watched, api, generator, events);
      } finally {
        clearInterval(timer);
      }
    },
  );
  stage.figure({
    name: "observability",
    unit: "events/s",
    ...rates,
    target: { of: "ratio", min: RATIO_MIN },
  });
  noteRounds(stage, "observability", rates);
  stage.note(`observability: ${events} events, from the first POST to the last arrival at the API`);
}

/** Whether the agent has metrics. */
async function scrape({ url }: AgentProcess): Promise<boolean> {
  try {
    const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_MS_MAX) });
    await response.text();
    return response.ok;
  } catch {
    // A saturated agent may answer too late; the next second asks again.
    return false;
  }
}
