/** What the agent costs while nothing happens, and how soon it is there. */

import { freePort } from "../../tests/support/agent_process.ts";
import { hasProcessFigures } from "./process_figures.ts";
import { restingMegabytes } from "./resting.ts";
import type { Stage } from "./stage.ts";
import { startMedians } from "./starting.ts";

const TARGETS = { residentMax: 75, startMax: 130 };

export async function idle(stage: Stage): Promise<void> {
  const api = await stage.api();
  const file = stage.newFile(), port = await freePort(), barePort = await freePort();
  const startAgent = () => stage.startAgent({ apiUrl: api.url, file, port });
  const startBare = () => stage.startBareServer(barePort);

  const [start = NaN, bareStart = NaN] = await startMedians([startAgent, startBare]);
  stage.figure({
    name: "start_to_health",
    unit: "ms",
    value: start,
    baseline: bareStart,
    target: { of: "value", max: TARGETS.startMax },
  });

  if (!hasProcessFigures()) return stage.note("idle: resident memory can be read on Linux only");
  const [agent = NaN, bare = NaN] = await restingMegabytes([await startAgent(), await startBare()]);
  stage.figure({
    name: "idle_rss",
    unit: "MB",
    value: agent,
    baseline: bare,
    target: { of: "value", max: TARGETS.residentMax },
  });
  stage.note("idle: the baseline is a bare Deno.serve in a process of its own");
}
