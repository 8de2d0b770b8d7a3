/** What the jail costs: the agent from source against the same relay without worker and without lost rights. */

import { fileURLToPath } from "node:url";
import { MAIN } from "../../tests/support/agent_process.ts";
import { PERMISSION_FLAGS } from "../build/run_flags.ts";
import { RELAY_WITHOUT_JAIL } from "./relay_without_jail.ts";
import type { Stage } from "./stage.ts";
import { interleaved } from "./statistics.ts";
import { noteRounds, throughput } from "./throughput.ts";

const ROUNDS = 4;
const EVENTS = 20_000;
const WARM_UP_EVENTS = 5_000;
const RATIO_MIN = 0.95;

export async function jail(stage: Stage): Promise<void> {
  if (stage.options.agent !== null) {
    return stage.note("jail: another agent has no relay to start without it; skipped");
  }
  const api = await stage.api();
  const generator = stage.generator();
  const fromSource = (program: string) =>
    stage.agent({
      apiUrl: api.url,
      command: [Deno.execPath(), "run", "--quiet", ...PERMISSION_FLAGS, program],
    });
  const [bare, jailed] = await Promise.all([fromSource(fileURLToPath(RELAY_WITHOUT_JAIL)), fromSource(MAIN)]);
  for (const agent of [bare, jailed]) await throughput(agent, api, generator, WARM_UP_EVENTS);

  const events = stage.scaled(EVENTS, 1_000);
  const rates = await interleaved(
    ROUNDS,
    () => throughput(bare, api, generator, events),
    () => throughput(jailed, api, generator, events),
  );
  stage.figure({ name: "jail", unit: "events/s", ...rates, target: { of: "ratio", min: RATIO_MIN } });
  noteRounds(stage, "jail", rates);
  stage.note(`jail: ${events} events, from the first POST to the last arrival at the API; both from source`);
}
