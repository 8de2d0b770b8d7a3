/** How fast the edge connector delivers to each sink, beside a bare loop that does the same; its memory, and its disk. */

import { join } from "node:path";
import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { KafkaPeer } from "../../tests/support/kafka_peer.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { startKafka } from "../services/kafka.ts";
import { findKafka } from "../services/kafka_jars.ts";
import { startMosquitto } from "../services/mosquitto.ts";
import { findMosquitto } from "../services/mosquitto_package.ts";
import { Conversation } from "./conversation.ts";
import { type BareQuestion, type BareTarget, EDGE_BARE } from "./edge_bare.ts";
import { EDGE_SITE, type EdgeSiteQuestion, type EdgeSiteState } from "./edge_site.ts";
import type { Target } from "./figures.ts";
import { hasProcessFigures, peakMegabytes } from "./process_figures.ts";
import type { AgentOptions, Stage } from "./stage.ts";
import { interleaved } from "./statistics.ts";
import { noteRounds } from "./throughput.ts";

const ROUNDS = 4;
/** An agent at work is warm: what its first bursts take says little. */
const WARM_UP_ROUNDS = 2;
/** Before each turn of the bare loop: the agent's bursts begin after a wait, too, and after a rest all is slower. */
const REST_MS = 1_000;
/** As many as are delivered without a pause; of what takes milliseconds each, fewer. */
const BURST_ITEMS = 1_000, SLOW_BURST_ITEMS = 300;
const SLOW_TARGET_MS = 5;
const BURST_MS_MAX = 60_000;
/** Of the goal's 100,000, which take eight minutes of poll intervals: `--scale 20`. */
const BACKLOG_ITEMS = 5_000;
/** The shortest that the agent takes, so that waiting for the next poll is short too. */
const POLL_ARGS = ["--edge_poll_interval", "5"];
/** Of every fsync, on the slow disk. */
const SLOW_SYNC_MS = 20;
const TARGETS = { ratioMin: 0.8, brokerMin: 5_000, stdoutMin: 20_000, residentMax: 120, slowDiskMin: 0.8 };

export async function edge(stage: Stage): Promise<void> {
  stage.note(
    "edge: in bursts of full batches, timed from poll to poll, so without the pause after ten; " +
      "the bare loop polls and parses batches of 100 from the same emulated ilert and keeps no cursor",
  );
  await edgeHttp(stage);
  await edgeScript(stage);
  await edgeStdout(stage);
  await edgeKafka(stage);
  await edgeMqtt(stage);
  await edgeSlowDisk(stage);
  await edgeBacklog(stage);
}

export async function edgeHttp(stage: Stage): Promise<void> {
  for (const delayMs of [0, SLOW_TARGET_MS]) {
    const site = await Site.of(stage, delayMs);
    await compare(stage, site, {
      name: `edge_http_${delayMs}ms`,
      items: delayMs === 0 ? BURST_ITEMS : SLOW_BURST_ITEMS,
      args: httpArgs(site),
      bare: { kind: "http", url: site.targetUrl },
      target: { of: "ratio", min: TARGETS.ratioMin },
    });
  }
}

export async function edgeScript(stage: Stage): Promise<void> {
  const path = join(stage.folder, "deliver.sh");
  await Deno.writeTextFile(path, "#!/bin/sh\nexec cat > /dev/null\n");
  await Deno.chmod(path, 0o755);
  const script = { items: SLOW_BURST_ITEMS, args: ["--edge_mode", "script", "--edge_script", path] };
  const target: Target = { of: "ratio", min: TARGETS.ratioMin };
  for (const [name, hasGroup] of [["edge_script", false], ["edge_script_in_group", true]] as const) {
    const site = await Site.of(stage);
    await compare(stage, site, { ...script, name, bare: { kind: "script", path, hasGroup }, target });
  }
  stage.note(
    "edge_script: the second baseline starts the script in a process group of its own, as the agent must, to kill " +
      "all of a run: Deno then forks instead of vforking",
  );
}

/** Through a named pipe into `cat`: reading lines in this process would be slower than the agent. */
export async function edgeStdout(stage: Stage): Promise<void> {
  const pipes = ["agent.pipe", "bare.pipe"].map((name) => join(stage.folder, name));
  const [agentPipe = "", barePipe = ""] = pipes;
  await new Deno.Command("mkfifo", { args: pipes }).output();
  for (const pipe of pipes) {
    const reader = new Deno.Command("cat", { args: [pipe], stdin: "null", stdout: "null" }).spawn();
    stage.own({ [Symbol.asyncDispose]: () => ended(reader) });
  }
  await compare(stage, await Site.of(stage), {
    name: "edge_stdout",
    items: BURST_ITEMS,
    args: ["--edge_mode", "stdout"],
    command: ["/bin/sh", "-c", 'exec "$@" > "$0"', agentPipe, ...stage.agentCommand],
    bare: { kind: "stdout", pipe: barePipe },
    target: { of: "value", min: TARGETS.stdoutMin },
  });
}

export async function edgeKafka(stage: Stage): Promise<void> {
  if (findKafka() === null) return stage.note("edge_kafka: skipped, Kafka is not installed");
  const broker = stage.own(await startKafka());
  const address = broker.address("PLAINTEXT");
  await using peer = await KafkaPeer.connect(address);
  const topic = await peer.createTopic(3);
  await compare(stage, await Site.of(stage), {
    name: "edge_kafka",
    items: BURST_ITEMS,
    args: ["--edge_mode", "kafka", "--kafka_brokers", address, "--edge_topic", topic],
    bare: { kind: "kafka", address, topic },
    target: { of: "value", min: TARGETS.brokerMin },
  });
}

/** As it is installed Mosquitto sends small packets together, and each batch of acknowledgements comes up to 40 ms late. */
export async function edgeMqtt(stage: Stage): Promise<void> {
  if (findMosquitto() === null) return stage.note("edge_mqtt: skipped, Mosquitto is not installed");
  const ways = { edge_mqtt_qos1: [], edge_mqtt_qos1_nodelay: ["set_tcp_nodelay true"] };
  for (const [name, extraLines] of Object.entries(ways)) {
    const broker = stage.own(await startMosquitto({ persistence: false, extraLines }));
    const url = broker.url("plain");
    await compare(stage, await Site.of(stage), {
      name,
      items: BURST_ITEMS,
      args: ["--edge_mode", "mqtt", "--mqtt_host", url, "--mqtt_qos", "1", "--edge_topic", "edge"],
      bare: { kind: "mqtt", url, topic: "edge" },
      target: { of: "value", min: TARGETS.brokerMin },
    });
  }
}

/** The same agent on a disk whose every fsync takes longer than dozens of deliveries; watched in the same way on both. */
export async function edgeSlowDisk(stage: Stage): Promise<void> {
  const usual = "strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fsync,fdatasync".split(" ");
  const slow = [...usual, "-e", `inject=fsync,fdatasync:delay_enter=${SLOW_SYNC_MS * 1_000}`];
  if (!await canRun([...slow, "true"])) {
    return stage.note("edge_slow_disk: skipped, nothing here slows a disk (strace)");
  }
  const start = async (watching: readonly string[]) => {
    const site = await Site.of(stage);
    await site.agent({ args: httpArgs(site), command: [...watching, ...stage.agentCommand] });
    const burst = () => site.rate(BURST_ITEMS);
    for (let round = 0; round < WARM_UP_ROUNDS; round++) await burst();
    return burst;
  };
  const rates = await interleaved(ROUNDS, await start(usual), await start(slow));
  const target: Target = { of: "ratio", min: TARGETS.slowDiskMin };
  stage.figure({ name: "edge_slow_disk", unit: "items/s", ...rates, target });
  noteRounds(stage, "edge_slow_disk", rates);
  const perItem = (rate: number) => `${(1_000 / rate).toFixed(2)} ms`;
  stage.note(
    `edge_slow_disk: every fsync takes ${SLOW_SYNC_MS} ms, an item ${perItem(rates.value)}; ` +
      `on the disk as it is ${perItem(rates.baseline)}; both under strace`,
  );
}

export async function edgeBacklog(stage: Stage): Promise<void> {
  if (!hasProcessFigures()) return stage.note("edge_backlog: resident memory can be read on Linux only");
  const site = await Site.of(stage);
  const agent = await site.agent({ args: httpArgs(site) });
  const items = stage.scaled(BACKLOG_ITEMS, 100);
  await site.rate(items);
  stage.figure({
    name: "edge_backlog_rss_max",
    unit: "MB",
    value: peakMegabytes(agent.pid),
    target: { of: "value", max: TARGETS.residentMax },
  });
  stage.note(`edge_backlog: ${items} items to a webhook; --scale 20 makes it the 100,000 of the goal`);
}

interface Comparison {
  name: string;
  items: number;
  args: readonly string[];
  command?: readonly string[];
  bare: BareTarget;
  target: Target;
}

async function compare(stage: Stage, site: Site, { name, items, args, command, bare, target }: Comparison) {
  const loop = stage.own(new Conversation<BareQuestion, number>(EDGE_BARE, ["--allow-all"]));
  await loop.ask({ kind: "open", target: bare });
  await site.agent({ args, ...(command === undefined ? {} : { command }) });
  await site.rate(items);
  const bareRate = async () => {
    await sleep(REST_MS, []);
    const order = { kind: "deliver", ilertUrl: site.url, afterId: site.afterId, items } as const;
    return 1_000 * items / await loop.ask(order);
  };
  for (let round = 1; round < WARM_UP_ROUNDS; round++) await site.rate(items);
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await bareRate();
  const rates = await interleaved(ROUNDS, bareRate, () => site.rate(items));
  stage.figure({ name, unit: "items/s", ...rates, target });
  noteRounds(stage, name, rates);
}

/** An emulated ilert with a webhook, and the agent between them. */
class Site {
  readonly #stage: Stage;
  readonly #process: Conversation<EdgeSiteQuestion, EdgeSiteState>;
  #state: EdgeSiteState;

  private constructor(
    stage: Stage,
    process: Conversation<EdgeSiteQuestion, EdgeSiteState>,
    state: EdgeSiteState,
  ) {
    this.#stage = stage;
    this.#process = process;
    this.#state = state;
  }

  static async of(stage: Stage, targetDelayMs = 0): Promise<Site> {
    const process = stage.own(new Conversation<EdgeSiteQuestion, EdgeSiteState>(EDGE_SITE));
    return new Site(stage, process, await process.ask({ kind: "start", targetDelayMs }));
  }

  get url(): string {
    return this.#state.url;
  }

  get targetUrl(): string {
    return this.#state.targetUrl;
  }

  /** Before the last burst. */
  get afterId(): number {
    return this.#state.afterId;
  }

  async agent({ args = [], ...options }: Omit<AgentOptions, "apiUrl">): Promise<AgentProcess> {
    const env = { ILERT_EDGE_CONNECTOR_KEY: "iec1-bench" };
    return await this.#stage.agent({ ...options, apiUrl: this.url, args: [...args, ...POLL_ARGS], env });
  }

  /** Items per second of the agent. */
  async rate(items: number): Promise<number> {
    this.#state = await this.#process.ask({
      kind: "burst",
      items,
      timeoutMs: BURST_MS_MAX * (1 + items / BURST_ITEMS),
    });
    return 1_000 * items / this.#state.burstMs;
  }
}

function httpArgs(site: Site): string[] {
  return ["--edge_mode", "http", "--edge_http_url", site.targetUrl];
}

async function canRun([program = "", ...args]: readonly string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stdin: "null" }).output()).success;
  } catch {
    return false;
  }
}

async function ended(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await child.status;
}
