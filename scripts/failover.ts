/**
 * `deno task failover [--json] [STRATEGY…]`: two agents, a steady stream of events, and a SIGKILL for one of them. For each
 * strategy of docs/high-availability.md it prints how long the kill delayed an event at most, how many came more than
 * once, and how many never came. Runs dist/ilagent, or what ILAGENT_COMMAND names, and needs
 * `deno task services install`. Exit codes: 0, 1 when an event was lost, 2 for a wrong argument.
 */

import { ConsumerSite, eventMessage, type SiteAgent } from "../tests/support/consumer_site.ts";
import { KafkaPeer } from "../tests/support/kafka_peer.ts";
import { MqttPeer } from "../tests/support/mqtt_peer.ts";
import { figureOf } from "./bench/figures.ts";
import { buildWhereMissing, connectDirectly } from "./preparation.ts";
import { startKafka } from "./services/kafka.ts";
import { startMosquitto } from "./services/mosquitto.ts";

/** One every 20 ms; the kill after a quarter of them. */
const EVENTS = 500, INTERVAL_MS = 20, KILL_AT = 125;
/** How long whoever watches over the agents takes to start the killed one again, or the standby. */
const RESTART_MS = 3_000;
const READY_TIMEOUT_MS = 40_000, ARRIVAL_TIMEOUT_MS = 60_000;

interface Drill extends AsyncDisposable {
  site: ConsumerSite;
  /** The one that is killed comes first. */
  agents: SiteAgent[];
  send(n: number): Promise<void>;
  /** Who goes on in the place of the killed one; null where nobody needs to. */
  replace: (() => Promise<SiteAgent>) | null;
  /** How often each event is to come without any trouble. */
  copies: number;
}

const STRATEGIES: Readonly<Record<string, () => Promise<Drill>>> = {
  kafka_group: kafkaGroup,
  mqtt_shared: () =>
    mqtt({
      command: "-e ilert/events --mqtt_shared_group ilagent --mqtt_qos 1",
      folders: ["1", "2"],
      restart: "1",
    }),
  mqtt_active_passive: () =>
    mqtt({
      command: "-e ilert/events -n ilagent -b il1hbt123 --mqtt_qos 1 --mqtt_buffer",
      folders: ["active"],
      restart: "standby",
    }),
  mqtt_active_active: () =>
    mqtt({ command: "-e ilert/events --mqtt_qos 1", folders: ["1", "2"], restart: null, copies: 2 }),
  mqtt_partitioned: () => mqtt({ command: "-e ilert/events", folders: ["1"], restart: "1" }),
  http_load_balancer: loadBalancer,
};

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = args.find((arg) => arg.startsWith("--") ? arg !== "--json" : !(arg in STRATEGIES));
  if (unknown !== undefined) {
    console.error(`${unknown}: is none of --json, ${Object.keys(STRATEGIES).join(", ")}`);
    return 2;
  }
  if (!Deno.env.has("ILAGENT_COMMAND")) await buildWhereMissing((text) => console.error(text));
  connectDirectly();
  let isLost = false;
  for (const name of names.length > 0 ? names : Object.keys(STRATEGIES)) {
    const { delayMs, repeated, lost } = await run(name);
    isLost ||= lost > 0;
    const figures = [
      figureOf({ name: `failover ${name}: longest delay`, value: delayMs / 1000, unit: "s" }),
      figureOf({ name: `failover ${name}: repeated`, value: repeated, unit: "events" }),
      figureOf({
        name: `failover ${name}: lost`,
        value: lost,
        unit: "events",
        target: { of: "value", max: 0 },
      }),
    ];
    for (const figure of figures) {
      console.log(
        args.includes("--json") ? JSON.stringify(figure) : `${figure.name} ${figure.value} ${figure.unit}`,
      );
    }
  }
  return isLost ? 1 : 0;
}

async function run(name: string): Promise<{ delayMs: number; repeated: number; lost: number }> {
  await using drill = await STRATEGIES[name]!();
  const { site, agents, copies } = drill;
  for (const agent of agents) await agent.isReady(READY_TIMEOUT_MS);
  const sentAt = new Map<number, number>();
  const sending: Promise<void>[] = [];
  let replaced: Promise<unknown> = Promise.resolve();
  for (let n = 0; n < EVENTS; n++) {
    if (n === KILL_AT) {
      await agents[0]?.process.kill();
      if (drill.replace !== null) replaced = later(RESTART_MS).then(drill.replace);
    }
    sentAt.set(n, performance.now());
    sending.push(drill.send(n));
    await later(INTERVAL_MS);
  }
  await Promise.all([...sending, replaced]);
  await site.allArrived(EVENTS, ARRIVAL_TIMEOUT_MS).catch(() => {});
  const arrivedAt = new Map<number, number>();
  for (const { at, event } of site.ilert.accepted) {
    const n = Number(event.summary?.split(" ")[1]);
    if (!arrivedAt.has(n)) arrivedAt.set(n, at);
  }
  const delays = [...arrivedAt].map(([n, at]) => at - (sentAt.get(n) ?? at));
  const expected = KILL_AT * copies + (EVENTS - KILL_AT);
  return {
    delayMs: Math.max(...delays),
    repeated: Math.max(0, site.ilert.acceptedCount - (copies === 1 ? arrivedAt.size : expected)),
    lost: EVENTS - arrivedAt.size,
  };
}

async function mqtt(
  { command, folders, restart, copies = 1 }: {
    command: string;
    folders: string[];
    restart: string | null;
    copies?: number;
  },
): Promise<Drill> {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await startMosquitto());
  const site = stack.use(await ConsumerSite.start());
  const peer = stack.use(await MqttPeer.connect(broker.url("plain")));
  const start = (folder: string) =>
    site.agent(folder, `daemon -m 127.0.0.1:${broker.port("plain")} ${command}`);
  return {
    site,
    agents: await inTurn(folders, start),
    send: (n) => peer.publish("ilert/events", eventMessage(n)),
    replace: restart === null ? null : () => start(restart),
    copies,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function kafkaGroup(): Promise<Drill> {
  const stack = new AsyncDisposableStack();
  const kafka = stack.use(await startKafka());
  const address = kafka.address("PLAINTEXT");
  const peer = stack.use(await KafkaPeer.connect(address));
  await peer.createTopic(4, {}, "events");
  const site = stack.use(await ConsumerSite.start());
  const command = `daemon --kafka_brokers ${address} --kafka_group_id ilagent -e events`;
  const agents = await inTurn(["1", "2"], async (folder) => {
    const agent = await site.agent(folder, command);
    await agent.isReady(READY_TIMEOUT_MS);
    return agent;
  });
  return {
    site,
    agents,
    send: (n) => peer.send("events", [{ key: `${n}`, value: eventMessage(n) }]),
    replace: null,
    copies: 1,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function loadBalancer(): Promise<Drill> {
  const site = await ConsumerSite.start();
  const agents = await inTurn(["1", "2"], (folder) => site.agent(folder, "daemon"));
  return {
    site,
    agents,
    send: (n) => balanced(agents, n),
    replace: () => site.agent("1", "daemon"),
    copies: 1,
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  };
}

/** To the next agent where one does not answer. */
async function balanced(agents: readonly SiteAgent[], n: number): Promise<void> {
  for (let i = 0; i < agents.length; i++) {
    const agent = agents[(n + i) % agents.length];
    const response = await fetch(`${agent?.process.url}/api/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: eventMessage(n),
    }).catch(() => null);
    await response?.body?.cancel();
    if (response?.status === 200) return;
  }
  throw new Error(`No agent took event ${n}`);
}

async function inTurn<T, R>(items: readonly T[], start: (item: T) => Promise<R>): Promise<R[]> {
  const started: R[] = [];
  for (const item of items) started.push(await start(item));
  return started;
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
