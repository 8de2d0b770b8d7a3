/** What a backlog leaves with once the API is back. */

import type { Stage } from "./stage.ts";
import { INTEGRATION_KEYS } from "./stage.ts";
import { interleaved } from "./statistics.ts";
import { noteRounds } from "./throughput.ts";

const ROUNDS = 2;
const EVENTS = 50_000;
/** At 50 ms the rate is the same from the first second on. */
const SLOW_EVENTS = 10_000;
const SLOW_DELAY_MS = 50;
const WARM_UP_EVENTS = 5_000;
/** As many as the agent keeps by default. */
const IN_FLIGHT = 64;
const DRAIN_MS_MAX = 180_000;
const TARGETS = { ratioMin: 0.4, slowMin: 1_000 };

export async function drain(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const loop = stage.fetchLoop();
  const agent = await stage.agent({ apiUrl: api.url });

  const bare = async (events: number) => {
    await api.reset();
    const firstNumber = stage.takeNumbers();
    const order = { url: api.url, inFlight: IN_FLIGHT, integrationKeys: INTEGRATION_KEYS };
    await loop.ask({ ...order, events, firstNumber });
    return await arrivalRate(events, stage, () => api.until(events, DRAIN_MS_MAX));
  };
  const drained = async (events: number, delayMs: number) => {
    await api.down();
    const { accepted } = await generator.load({ url: agent.url, until: { events } });
    await api.reset(delayMs === 0 ? [] : [{ kind: "delay", ms: delayMs, on: "event" }]);
    await api.up();
    return await arrivalRate(accepted, stage, () => api.until(accepted, DRAIN_MS_MAX));
  };

  const events = stage.scaled(EVENTS, 1_000);
  await bare(WARM_UP_EVENTS);
  await drained(WARM_UP_EVENTS, 0);
  const rates = await interleaved(ROUNDS, () => bare(events), () => drained(events, 0));
  stage.figure({
    name: "drain",
    unit: "events/s",
    ...rates,
    target: { of: "ratio", min: TARGETS.ratioMin },
  });
  noteRounds(stage, "drain", rates);
  stage.figure({
    name: "drain_at_50ms",
    unit: "events/s",
    value: await drained(stage.scaled(SLOW_EVENTS, 1_000), SLOW_DELAY_MS),
    target: { of: "value", min: TARGETS.slowMin },
  });
  stage.note(`drain: ${events} queued events; the baseline posts the same bodies, ${IN_FLIGHT} in flight`);
}

/** Events per second from the first arrival to the last. Rejects when some do not arrive. */
async function arrivalRate(
  events: number,
  stage: Stage,
  arrival: () => Promise<
    { delivered: number; firstAt: number | null; lastAt: number | null; duplicates: number }
  >,
): Promise<number> {
  const { delivered, firstAt, lastAt, duplicates } = await arrival();
  if (delivered < events) throw new Error(`Only ${delivered} of ${events} events arrived at the API`);
  if (duplicates > 0) stage.note(`drain: ${duplicates} events arrived twice`);
  return 1_000 * (events - 1) / ((lastAt ?? NaN) - (firstAt ?? NaN));
}
