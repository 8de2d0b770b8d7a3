/**
 * `deno task bench`: what the agent does per second, per event and per megabyte, each figure beside a baseline that was
 * measured in the same run. Exit codes: 0 when all benches ran, whatever they found; 1 when one could not run, 2 for a
 * wrong argument, 130 after Ctrl-C.
 */

import { parseArguments, USAGE } from "./bench/arguments.ts";
import { binary } from "./bench/binary.ts";
import { blocked } from "./bench/blocked.ts";
import { consumersKafka } from "./bench/consumers_kafka.ts";
import { consumersMqtt } from "./bench/consumers_mqtt.ts";
import { drain } from "./bench/drain.ts";
import {
  edge,
  edgeBacklog,
  edgeHttp,
  edgeKafka,
  edgeMqtt,
  edgeScript,
  edgeSlowDisk,
  edgeStdout,
} from "./bench/edge.ts";
import { type Figure, lineOf } from "./bench/figures.ts";
import { idle } from "./bench/idle.ts";
import { intake } from "./bench/intake.ts";
import { jail } from "./bench/jail.ts";
import { latency } from "./bench/latency.ts";
import { million } from "./bench/million.ts";
import { observability } from "./bench/observability.ts";
import { outage } from "./bench/outage.ts";
import { Stage } from "./bench/stage.ts";
import { buildWhereMissing, connectDirectly, fetchDependencies } from "./preparation.ts";

interface Bench {
  run: (stage: Stage) => Promise<void>;
  /** Which processes are busy at the same time. */
  sharing: string;
  /** Only where it is named: it takes long, or is part of another. */
  onlyNamed?: true;
}

const ALL_THREE = "load generator, agent and emulated API";
const CONSUMING = "broker, agent and emulated API; in the baseline broker, bare client and emulated API";
const EDGE = "emulated ilert with its webhook, agent and, where there is one, broker";
const BENCHES: Readonly<Record<string, Bench>> = {
  intake: { run: intake, sharing: `${ALL_THREE}; in the baseline load generator and bare server` },
  latency: { run: latency, sharing: `${ALL_THREE}, mostly idle` },
  drain: { run: drain, sharing: "agent and emulated API; in the baseline fetch loop and emulated API" },
  blocked: { run: blocked, sharing: `${ALL_THREE}, mostly idle` },
  outage: { run: outage, sharing: `${ALL_THREE}, mostly idle` },
  idle: { run: idle, sharing: "the one process that is measured" },
  binary: { run: binary, sharing: "the processes that are measured, which do nothing at the same time" },
  jail: { run: jail, sharing: ALL_THREE },
  observability: { run: observability, sharing: ALL_THREE },
  edge: { run: edge, sharing: EDGE },
  edge_http: { run: edgeHttp, sharing: EDGE, onlyNamed: true },
  edge_script: { run: edgeScript, sharing: EDGE, onlyNamed: true },
  edge_stdout: { run: edgeStdout, sharing: EDGE, onlyNamed: true },
  edge_kafka: { run: edgeKafka, sharing: EDGE, onlyNamed: true },
  edge_mqtt: { run: edgeMqtt, sharing: EDGE, onlyNamed: true },
  edge_slow_disk: { run: edgeSlowDisk, sharing: EDGE, onlyNamed: true },
  edge_backlog: { run: edgeBacklog, sharing: EDGE, onlyNamed: true },
  consumers: { run: consumers, sharing: CONSUMING },
  consumers_mqtt: { run: consumersMqtt, sharing: CONSUMING, onlyNamed: true },
  consumers_kafka: { run: consumersKafka, sharing: CONSUMING, onlyNamed: true },
  million: { run: million, sharing: "agent and emulated API", onlyNamed: true },
};
/** Of one bench at `--scale 1 --seconds 5`; larger values stretch it. */
const BENCH_MS_MAX = 600_000;
const SECONDS_USUAL = 5;

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const parsed = parseArguments(args, Object.keys(BENCHES));
  if (typeof parsed === "string") {
    console.error(`${parsed} (see --help)`);
    return 2;
  }
  const { names, json, agent, seconds, scale } = parsed;
  const figures: Figure[] = [], notes: string[] = [], problems: string[] = [];
  const note = (text: string) => {
    notes.push(text);
    if (!json) console.log(`# ${text}`);
  };
  const machine = machineOf();
  note(
    `${machine.cores} cores, ${machine.memory} MB, Deno ${machine.deno}, agent ${
      agent?.join(" ") ?? "dist/ilagent"
    }`,
  );
  try {
    await prepare(agent === null, note);
  } catch (error) {
    console.error(`Cannot prepare: ${messageOf(error)}`);
    return 1;
  }

  const interruption = watchForInterruption();
  const chosen = names.length > 0 ? names : Object.keys(BENCHES).filter((name) => !BENCHES[name]?.onlyNamed);
  for (const name of chosen) {
    const bench = BENCHES[name];
    if (bench === undefined || interruption.happened) continue;
    note(`${name}: these share the ${machine.cores} cores: ${bench.sharing}`);
    await using stage = await Stage.set({
      agent,
      seconds,
      scale,
      onNote: note,
      onFigure: (figure) => {
        figures.push(figure);
        if (!json) console.log(lineOf(figure));
      },
    });
    try {
      const limitMs = BENCH_MS_MAX * Math.max(1, scale, seconds / SECONDS_USUAL);
      await Promise.race([bench.run(stage), overdue(limitMs), interruption.promise]);
    } catch (error) {
      if (!interruption.happened) problems.push(`${name}: ${messageOf(error)}`);
    }
  }
  if (interruption.happened) return 130;
  if (json) console.log(JSON.stringify({ ...machine, results: figures, notes, problems }));
  for (const problem of problems) console.error(`Could not run ${problem}`);
  return problems.length > 0 ? 1 : 0;
}

async function consumers(stage: Stage): Promise<void> {
  await consumersMqtt(stage);
  await consumersKafka(stage);
}

/** Its promise rejects at Ctrl-C, so that the stage of the moment is cleared as after any other failure. */
function watchForInterruption(): { readonly happened: boolean; promise: Promise<never> } {
  const { promise, reject } = Promise.withResolvers<never>();
  // It may come between two benches.
  promise.catch(() => {});
  let happened = false;
  for (const name of Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => {
      happened = true;
      reject(new Error("interrupted"));
    });
  }
  return {
    get happened() {
      return happened;
    },
    promise,
  };
}

function machineOf(): { cores: number; memory: number; deno: string } {
  const memory = Math.round(Deno.systemMemoryInfo().total / 1e6);
  return { cores: navigator.hardwareConcurrency, memory, deno: Deno.version.deno };
}

async function prepare(needsBuilt: boolean, note: (text: string) => void): Promise<void> {
  await fetchDependencies();
  connectDirectly();
  if (needsBuilt) await buildWhereMissing(note);
}

function overdue(limitMs: number): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`was not over after ${limitMs / 1_000} s`)), limitMs);
    // It must not keep the process after the last bench.
    Deno.unrefTimer(timer);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
