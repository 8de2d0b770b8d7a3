/** Messages of an MQTT broker: a backlog of QoS 1 on its way to the API and into the queue, and one at a time. */

import { MqttPeer } from "../../tests/support/mqtt_peer.ts";
import { findMosquitto } from "../services/mosquitto_package.ts";
import { type Mosquitto, startMosquitto } from "../services/mosquitto.ts";
import { BARE_MQTT, type BareMqttQuestion, type BareMqttState } from "./bare_mqtt.ts";
import {
  bareConsumerOf,
  type Consumer,
  consumerOf,
  ConsumersBench,
  eventTexts,
  IN_FLIGHT,
} from "./consumers_load.ts";
import { Conversation } from "./conversation.ts";
import { ProcessorShares } from "./process_figures.ts";
import type { Stage } from "./stage.ts";
import { interleaved } from "./statistics.ts";

const TOPIC = "bench/events";
const ROUNDS = 2;
const LOADS = [
  { name: "0ms", delayMs: 0, messages: 30_000, min: 5_000 },
  { name: "5ms", delayMs: 5, messages: 20_000, min: 2_000 },
] as const;
const BUFFERED = { messages: 60_000, delayMs: 5, min: 10_000, waitMs: 60_000, lookMs: 20 };
/** Published and not yet acknowledged. */
const PUBLISHES_AT_ONCE = 500;
const ACCEPTED = /^ilagent_events_accepted_total (\d+)/m;

export async function consumersMqtt(stage: Stage): Promise<void> {
  if (findMosquitto() === null) {
    return stage.note("consumers: Mosquitto is not installed (deno task services install); MQTT skipped");
  }
  const api = await stage.api();
  const broker = stage.own(await startMosquitto());
  await new MqttBench(stage, broker, new ConsumersBench(stage, api, "consumers_mqtt", broker.pid)).run();
}

class MqttBench {
  readonly #stage: Stage;
  readonly #broker: Mosquitto;
  readonly #bench: ConsumersBench;
  #sessions = 0;

  constructor(stage: Stage, broker: Mosquitto, bench: ConsumersBench) {
    this.#stage = stage;
    this.#broker = broker;
    this.#bench = bench;
  }

  async run(): Promise<void> {
    const [session = ""] = await this.#backlogs(1, 0);
    // The first start of a new build unpacks it and keeps its compiled code, which takes more memory than any other.
    await (await this.#agent(session))[Symbol.asyncDispose]();
    for (const load of LOADS) await this.#direct(load);
    await this.#buffered();
    await this.#latency();
    this.#stage.note(
      `consumers_mqtt: QoS 1, published beforehand into persistent sessions; the baseline is mqtt.js that posts the same ` +
        `bodies, ${IN_FLIGHT} in flight, and acknowledges before the API has them (0ms, 5ms), or acknowledges at once and ` +
        "posts nothing (buffered)",
    );
  }

  async #direct({ name, delayMs, messages, min }: typeof LOADS[number]): Promise<void> {
    const count = this.#stage.scaled(messages, 1_000);
    const sessions = await this.#backlogs(2 * ROUNDS + 1, count);
    const bare = new ProcessorShares(), subject = new ProcessorShares();
    const next = () => sessions.shift() ?? "";
    const bench = this.#bench;
    const rates = await interleaved(
      ROUNDS,
      () => bench.drained(() => this.#bare(next(), bench.api.url), count, delayMs, bare),
      () => bench.drained(() => this.#agent(next()), count, delayMs, subject),
    );
    bench.rate(name, rates, min, { "in the baseline": bare, "with the agent": subject });
    bench.memory(name);
  }

  /** Deliveries go on meanwhile, as they do in an outage that is over. */
  async #buffered(): Promise<void> {
    const count = this.#stage.scaled(BUFFERED.messages, 1_000);
    const { api } = this.#bench;
    await api.reset([{ kind: "delay", ms: BUFFERED.delayMs, on: "event" }]);
    const sessions = await this.#backlogs(2 * ROUNDS + 1, count);
    const next = () => sessions.shift() ?? "";
    const received = async () => {
      const client = this.#client();
      await client.ask({ kind: "connect", url: this.#url, session: next(), apiUrl: null, inFlight: 0 });
      const { firstAt, lastAt } = await client.ask({ kind: "until", received: count });
      await client[Symbol.asyncDispose]();
      return 1_000 * (count - 1) / (lastAt - firstAt);
    };
    const subject = new ProcessorShares();
    const stored = async () => {
      const agent = await this.#start(next(), ["--mqtt_buffer"]);
      const pids = { agent: agent.pid, "emulated API": api.pid, broker: this.#broker.pid };
      const rate = await subject.during(pids, () => storedRate(agent.url, count));
      this.#bench.observeMemory(agent.pid);
      await agent.stop();
      return rate;
    };
    const rates = await interleaved(ROUNDS, received, stored);
    this.#bench.rate("buffered", rates, BUFFERED.min, { "with the agent": subject });
    this.#bench.memory("buffered");
  }

  async #latency(): Promise<void> {
    const [bare = "", agent = ""] = await this.#backlogs(2, 0);
    await using publisher = await MqttPeer.connect(this.#url);
    await this.#bench.latency(
      (text) => publisher.publish(TOPIC, text),
      () => this.#bare(bare, this.#bench.api.url),
      () => this.#agent(agent),
    );
  }

  get #url(): string {
    return this.#broker.url("plain");
  }

  /** Sessions that hold the same messages each. */
  async #backlogs(sessions: number, messages: number): Promise<string[]> {
    const names = Array.from({ length: sessions }, () => `bench-${++this.#sessions}`);
    for (const session of names) {
      await using subscriber = await MqttPeer.connect(this.#url, { session });
      await subscriber.subscribe(TOPIC);
    }
    await using publisher = await MqttPeer.connect(this.#url);
    const texts = eventTexts(this.#stage.takeNumbers(), messages);
    for (let at = 0; at < messages; at += PUBLISHES_AT_ONCE) {
      const some = texts.slice(at, at + PUBLISHES_AT_ONCE);
      await Promise.all(some.map((text) => publisher.publish(TOPIC, text)));
    }
    return names;
  }

  async #bare(session: string, apiUrl: string): Promise<Consumer> {
    const client = this.#client();
    await client.ask({ kind: "connect", url: this.#url, session, apiUrl, inFlight: IN_FLIGHT });
    return bareConsumerOf(client);
  }

  #client(): Conversation<BareMqttQuestion, BareMqttState> {
    return this.#stage.own(new Conversation<BareMqttQuestion, BareMqttState>(BARE_MQTT, ["--allow-all"]));
  }

  async #agent(session: string): Promise<Consumer> {
    return consumerOf(await this.#start(session, []));
  }

  async #start(session: string, flags: readonly string[]) {
    const args = ["-m", `127.0.0.1:${this.#broker.port("plain")}`, "-n", session, "-e", TOPIC, ...flags];
    const agent = await this.#stage.agent({ apiUrl: this.#bench.api.url, args });
    return agent;
  }
}

/** Durable messages per second, from the first look that sees some to the one that sees all. */
async function storedRate(url: string, messages: number): Promise<number> {
  const deadline = performance.now() + BUFFERED.waitMs;
  let first: { at: number; count: number } | null = null;
  for (;;) {
    const count = await acceptedBy(url);
    const at = performance.now();
    if (count > 0) first ??= { at, count };
    if (first !== null && count >= messages) return 1_000 * (messages - first.count) / (at - first.at);
    if (at > deadline) throw new Error(`Only ${count} of ${messages} messages were stored`);
    await new Promise((resolve) => setTimeout(resolve, BUFFERED.lookMs));
  }
}

async function acceptedBy(url: string): Promise<number> {
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  const [, count] = ACCEPTED.exec(text) ?? [];
  if (count === undefined) throw new Error(`this agent does not tell at /metrics how many it has stored`);
  return Number(count);
}
