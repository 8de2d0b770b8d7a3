/** What the one file costs its user: its size, how soon it answers, and what each mode holds in memory. */

import { join } from "node:path";
import { type AgentProcess, freePort, runAgent } from "../../tests/support/agent_process.ts";
import { Conversation } from "./conversation.ts";
import { EDGE_SITE, type EdgeSiteQuestion, type EdgeSiteState } from "./edge_site.ts";
import { hasProcessFigures } from "./process_figures.ts";
import { restingMegabytes } from "./resting.ts";
import type { AgentOptions, Stage } from "./stage.ts";
import { startMedians, turns } from "./starting.ts";
import { median } from "./statistics.ts";

/** In ms and MB. */
const MAX = { start: 110, version: 80, relay: 70, script: 85, size: 45 };
/** Processes of each mode: one and the same mode differs by 3 MB from one to the next. */
const RESTING = 3;
/** The client is evaluated all the same. */
const NO_BROKER = ["--kafka_brokers", "127.0.0.1:1", "-e", "alerts"];

export async function binary(stage: Stage): Promise<void> {
  await size(stage);
  await version(stage);
  const api = await stage.api();
  const relay = { apiUrl: api.url };
  const kafka = { ...relay, args: NO_BROKER };
  const script = await scriptMode(stage);
  await starts(stage, { relay, script });
  if (!hasProcessFigures()) return stage.note("binary: resident memory can be read on Linux only");
  await memory(stage, { relay, kafka, script });
  await firstStart(stage, relay);
}

async function size(stage: Stage): Promise<void> {
  const [program = "", ...args] = stage.agentCommand;
  if (args.length > 0) return stage.note("binary_size: skipped, this agent is more than one file");
  const { size } = await Deno.stat(program);
  stage.figure({
    name: "binary_size",
    unit: "MB",
    value: size / 1e6,
    target: { of: "value", max: MAX.size },
  });
}

async function version(stage: Stage): Promise<void> {
  const run = (args: string[], command: readonly string[]) => () => durationOf(args, command, stage.folder);
  const [value = NaN, baseline = NaN] = await turns([
    run(["--version"], stage.agentCommand),
    run(["eval", "--no-config", "0"], [Deno.execPath()]),
  ]);
  const target = { of: "value", max: MAX.version } as const;
  stage.figure({ name: "binary_version", unit: "ms", value, baseline, target });
  stage.note("binary_version: the baseline is an empty `deno eval`");
}

async function starts(
  stage: Stage,
  { relay, script }: { relay: AgentOptions; script: AgentOptions },
): Promise<void> {
  const again = async (mode: AgentOptions) => {
    const options = { ...mode, file: stage.newFile(), port: await freePort() };
    return () => stage.startAgent(options);
  };
  const barePort = await freePort();
  const bare = () => stage.startBareServer(barePort);
  const [value = NaN, scriptValue = NaN, baseline = NaN] = await startMedians([
    await again(relay),
    await again(script),
    bare,
  ]);
  const target = { of: "value", max: MAX.start } as const;
  stage.figure({ name: "binary_start", unit: "ms", value, baseline, target });
  stage.figure({ name: "binary_start_script", unit: "ms", value: scriptValue, baseline });
  stage.note("binary_start: to /health, after a start before; the baseline is a bare Deno.serve");
}

async function memory(
  stage: Stage,
  modes: { relay: AgentOptions; kafka: AgentOptions; script: AgentOptions },
): Promise<void> {
  const several = async (start: () => Promise<AgentProcess>) => {
    const processes = [];
    for (let count = 0; count < RESTING; count++) processes.push(await start());
    return processes;
  };
  const of = (mode: AgentOptions) => several(() => stage.startAgent(mode));
  const resting = [
    await of(modes.relay),
    await of(modes.kafka),
    await of(modes.script),
    await several(() => stage.startBareServer()),
  ];
  const all = await restingMegabytes(resting.flat());
  const [relay = NaN, kafka = NaN, script = NaN, bare = NaN] = resting.map((_, at) =>
    median(all.slice(at * RESTING, (at + 1) * RESTING))
  );
  const rss = (name: string, value: number, baseline: number, max?: number) =>
    stage.figure({
      ...{ name, unit: "MB", value, baseline },
      ...(max === undefined ? {} : { target: { of: "value", max } }),
    });
  rss("binary_rss", relay, bare, MAX.relay);
  rss("binary_rss_script", script, bare, MAX.script);
  rss("binary_rss_kafka", kafka, relay);
  stage.note(
    `binary_rss: medians of ${RESTING} processes; the baseline is a bare Deno.serve; of _kafka the relay without ` +
      "a broker, which does not evaluate kafkajs",
  );
}

/** Unpacks, and has V8 compile everything anew. */
async function firstStart(stage: Stage, mode: AgentOptions): Promise<void> {
  const cache = await Deno.makeTempDir({ dir: stage.folder });
  const startedAt = performance.now();
  const agent = await stage.agent({ ...mode, env: { ILAGENT_CACHE_DIR: cache } });
  stage.figure({ name: "binary_first_start", unit: "ms", value: performance.now() - startedAt });
  const [resident = NaN] = await restingMegabytes([agent]);
  stage.figure({ name: "binary_first_rss", unit: "MB", value: resident });
}

async function scriptMode(stage: Stage): Promise<AgentOptions> {
  const path = join(stage.folder, "deliver.sh");
  await Deno.writeTextFile(path, "#!/bin/sh\nexec cat > /dev/null\n");
  await Deno.chmod(path, 0o755);
  const site = stage.own(new Conversation<EdgeSiteQuestion, EdgeSiteState>(EDGE_SITE));
  const { url: apiUrl } = await site.ask({ kind: "start", targetDelayMs: 0 });
  const args = ["--edge_mode", "script", "--edge_script", path];
  return { apiUrl, args, env: { ILERT_EDGE_CONNECTOR_KEY: "iec1-bench" } };
}

async function durationOf(args: string[], command: readonly string[], cwd: string): Promise<number> {
  const startedAt = performance.now();
  const { code, stderr } = await runAgent(args, { command, cwd });
  if (code !== 0) {
    throw new Error(`${args[0]} ended with exit code ${code}: ${stderr.trim().split("\n", 1)[0]}`);
  }
  return performance.now() - startedAt;
}
