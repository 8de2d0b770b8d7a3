/** What the agent costs while nothing happens, and how soon it is there. */

import { freePort, runAgent } from "../../tests/support/agent_process.ts";
import { hasProcessFigures, residentMegabytes } from "./process_figures.ts";
import type { Stage } from "./stage.ts";
import { healthyAfter } from "./starting.ts";
import { median } from "./statistics.ts";

const IDLE_MS = 10_000, SAMPLES = 10, SAMPLE_INTERVAL_MS = 200;
const STARTS = 10;
const START_MS_MAX = 20_000;
const TARGETS = { residentMax: 75, startMax: 130 };

export async function idle(stage: Stage): Promise<void> {
  const api = await stage.api();
  const file = stage.newFile(), port = await freePort(), barePort = await freePort();
  const startAgent = () => stage.startAgent({ apiUrl: api.url, file, port });
  const startBare = () => stage.startBareServer(barePort);

  const starts: number[] = [], bareStarts: number[] = [];
  // The first of each only fills the caches.
  for (let count = 0; count <= STARTS; count++) {
    for (const [start, into] of [[startBare, bareStarts], [startAgent, starts]] as const) {
      const { agent, ms } = await healthyAfter(start, START_MS_MAX);
      if (count > 0) into.push(ms);
      await agent.stop();
    }
  }
  stage.figure({
    name: "start_to_health",
    unit: "ms",
    value: median(starts),
    baseline: median(bareStarts),
    target: { of: "value", max: TARGETS.startMax },
  });

  const versions: number[] = [], evals: number[] = [];
  for (let count = 0; count <= STARTS; count++) {
    const bare = await durationOf(["eval", "--no-config", "0"], [Deno.execPath()], stage.folder);
    const version = await durationOf(["--version"], stage.agentCommand, stage.folder);
    if (count > 0) {
      evals.push(bare);
      versions.push(version);
    }
  }
  stage.figure({ name: "version", unit: "ms", value: median(versions), baseline: median(evals) });

  if (!hasProcessFigures()) return stage.note("idle: resident memory can be read on Linux only");
  const [agent, bare] = await Promise.all([startAgent(), startBare()]);
  await Promise.all([agent.ready(), bare.ready()]);
  await pause(IDLE_MS);
  const resident: number[] = [], bareResident: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    resident.push(residentMegabytes(agent.pid));
    bareResident.push(residentMegabytes(bare.pid));
    await pause(SAMPLE_INTERVAL_MS);
  }
  stage.figure({
    name: "idle_rss",
    unit: "MB",
    value: median(resident),
    baseline: median(bareResident),
    target: { of: "value", max: TARGETS.residentMax },
  });
  stage.note(
    "idle: the baseline is a bare Deno.serve in a process of its own, for version an empty `deno eval`",
  );
}

async function durationOf(args: string[], command: readonly string[], cwd: string): Promise<number> {
  const startedAt = performance.now();
  const { code, stderr } = await runAgent(args, { command, cwd });
  if (code !== 0) {
    throw new Error(`${args[0]} ended with exit code ${code}: ${stderr.trim().split("\n", 1)[0]}`);
  }
  return performance.now() - startedAt;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
