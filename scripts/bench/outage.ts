/** How soon the first event is delivered after the API is back. */

import type { ApiClient, LoadClient, Stage } from "./stage.ts";

/**
 * Of one long outage and short ones. Probes come at whole seconds after its beginning, so these end at different
 * moments between two of them.
 */
const OUTAGE_SECONDS: readonly { scaled: number; more: number }[] = [
  { scaled: 30, more: 0 },
  { scaled: 4, more: 0.3 },
  { scaled: 4, more: 0.7 },
  { scaled: 4, more: 1.1 },
  { scaled: 4, more: 1.7 },
];
const SCALED_SECONDS_MIN = 2;
const SPACING_MS = 50;
const WARM_UP_EVENTS = 200;
const RETURN_MS_MAX = 120_000;
const TARGETS = { refusedMaxMs: 2_000, unavailableMaxMs: 5_000 };

export async function outage(stage: Stage): Promise<void> {
  const api = await stage.api();
  const generator = stage.generator();
  const agent = await stage.agent({ apiUrl: api.url });
  const seconds = OUTAGE_SECONDS.map(({ scaled, more }) => stage.scaled(scaled, SCALED_SECONDS_MIN) + more);
  const warmUp = await generator.load({ url: agent.url, until: { events: WARM_UP_EVENTS } });
  await api.until(warmUp.accepted, RETURN_MS_MAX);

  const outages = [
    { name: "refused", max: TARGETS.refusedMaxMs, begin: () => api.down(), end: () => api.up() },
    {
      name: "503",
      max: TARGETS.unavailableMaxMs,
      begin: () => api.faults([{ kind: "status", status: 503, on: "event" }]),
      end: () => api.faults([]),
    },
  ];
  for (const { name, max, begin, end } of outages) {
    const returns: number[] = [];
    let lost = 0;
    for (const length of seconds) {
      const result = await returnAfter(length, agent.url, api, generator, begin, end);
      returns.push(result.firstMs);
      lost += result.lost;
    }
    stage.figure({
      name: `outage_${name}_first_delivery`,
      unit: "ms",
      value: Math.max(...returns),
      target: { of: "value", max },
    });
    stage.figure({
      name: `outage_${name}_lost`,
      unit: "events",
      value: lost,
      target: { of: "value", max: 0 },
    });
    const each = returns.map((ms) => ms.toFixed(0)).join(" ");
    stage.note(`outage_${name}: the slowest after outages of ${seconds.join(", ")} s; each: ${each} ms`);
  }
}

async function returnAfter(
  seconds: number,
  url: string,
  api: ApiClient,
  generator: LoadClient,
  begin: () => Promise<unknown>,
  end: () => Promise<{ at: number }>,
): Promise<{ firstMs: number; lost: number }> {
  await api.reset();
  await begin();
  const until = { seconds };
  const { accepted } = await generator.load({ url, connections: 1, spacingMs: SPACING_MS, until });
  const { at } = await end();
  const { delivered, firstAt } = await api.until(accepted, RETURN_MS_MAX);
  return { firstMs: (firstAt ?? NaN) - at, lost: Math.max(0, accepted - delivered) };
}
