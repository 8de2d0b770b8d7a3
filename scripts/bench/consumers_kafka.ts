/** Messages of a Kafka topic with four partitions: a backlog on its way to the API, its order, and one at a time. */

import { KafkaPeer } from "../../tests/support/kafka_peer.ts";
import { type KafkaBroker, startKafka } from "../services/kafka.ts";
import { findKafka } from "../services/kafka_jars.ts";
import { BARE_KAFKA, type BareKafkaQuestion } from "./bare_kafka.ts";
import {
  bareConsumerOf,
  type Consumer,
  consumerOf,
  ConsumersBench,
  eventTexts,
  IN_FLIGHT,
} from "./consumers_load.ts";
import { Conversation } from "./conversation.ts";
import { eventText } from "./events.ts";
import { ProcessorShares } from "./process_figures.ts";
import { INTEGRATION_KEYS, type Stage } from "./stage.ts";
import { interleaved } from "./statistics.ts";

const PARTITIONS = 4;
const ROUNDS = 2;
const LOADS = [
  { name: "0ms", delayMs: 0, messages: 30_000, min: 5_000 },
  { name: "5ms", delayMs: 5, messages: 20_000, min: 2_000 },
] as const;
/** Few lanes, so that each always has several events at the agent. */
const ORDER = { messages: 10_000, lanes: 100, delayMs: 2 };
const MESSAGES_PER_SEND = 2_000;

export async function consumersKafka(stage: Stage): Promise<void> {
  if (findKafka() === null) {
    return stage.note("consumers: Kafka is not installed (deno task services install); Kafka skipped");
  }
  const api = await stage.api();
  const broker = stage.own(await startKafka());
  const peer = stage.own(await KafkaPeer.connect(broker.address("PLAINTEXT")));
  const bench = new ConsumersBench(stage, api, "consumers_kafka", broker.pid);
  await new KafkaBench(stage, broker, peer, bench).run();
}

class KafkaBench {
  readonly #stage: Stage;
  readonly #broker: KafkaBroker;
  readonly #peer: KafkaPeer;
  readonly #bench: ConsumersBench;
  #groups = 0;

  constructor(stage: Stage, broker: KafkaBroker, peer: KafkaPeer, bench: ConsumersBench) {
    this.#stage = stage;
    this.#broker = broker;
    this.#peer = peer;
    this.#bench = bench;
  }

  async run(): Promise<void> {
    // The first start of a new build unpacks it and keeps its compiled code, which takes more memory than any other.
    await (await this.#agent(await this.#peer.createTopic()))[Symbol.asyncDispose]();
    for (const load of LOADS) await this.#direct(load);
    await this.#order();
    await this.#latency();
    this.#stage.note(
      `consumers_kafka: ${PARTITIONS} partitions, published beforehand, each round a new group; the baseline is kafkajs that ` +
        `posts the same bodies, ${IN_FLIGHT} in flight, and commits each batch before the API has all of it`,
    );
  }

  async #direct({ name, delayMs, messages, min }: typeof LOADS[number]): Promise<void> {
    const count = this.#stage.scaled(messages, 1_000);
    const first = this.#stage.takeNumbers();
    const topic = await this.#topicOf(
      eventTexts(first, count).map((value, i) => ({ key: `bench-${first + i}`, value })),
    );
    const bare = new ProcessorShares(), subject = new ProcessorShares();
    const bench = this.#bench;
    const rates = await interleaved(
      ROUNDS,
      () => bench.drained(() => this.#bare(topic), count, delayMs, bare),
      () => bench.drained(() => this.#agent(topic), count, delayMs, subject),
    );
    bench.rate(name, rates, min, { "in the baseline": bare, "with the agent": subject });
    bench.memory(name);
  }

  async #order(): Promise<void> {
    const count = this.#stage.scaled(ORDER.messages, 1_000);
    const first = this.#stage.takeNumbers();
    const topic = await this.#topicOf(Array.from({ length: count }, (_, index) => {
      const key = `lane-${index % ORDER.lanes}`;
      return { key, value: eventText(first + index, INTEGRATION_KEYS, key) };
    }));
    await this.#bench.drained(() => this.#agent(topic), count, ORDER.delayMs, new ProcessorShares());
    const { orderViolations } = await this.#bench.api.state();
    const target = { of: "value", max: 0 } as const;
    this.#stage.figure({
      name: "consumers_kafka_order_violations",
      unit: "events",
      value: orderViolations,
      target,
    });
  }

  async #latency(): Promise<void> {
    const topic = await this.#peer.createTopic(PARTITIONS);
    const send = await this.#peer.sender(topic);
    await this.#bench.latency(
      (value) => send([{ value }]),
      () => this.#bare(topic),
      () => this.#agent(topic),
    );
  }

  async #topicOf(messages: { key: string; value: string }[]): Promise<string> {
    const topic = await this.#peer.createTopic(PARTITIONS);
    const send = await this.#peer.sender(topic);
    for (let at = 0; at < messages.length; at += MESSAGES_PER_SEND) {
      await send(messages.slice(at, at + MESSAGES_PER_SEND));
    }
    return topic;
  }

  async #bare(topic: string): Promise<Consumer> {
    const client = this.#stage.own(new Conversation<BareKafkaQuestion, null>(BARE_KAFKA, ["--allow-all"]));
    const address = this.#broker.address("PLAINTEXT");
    const place = { address, topic, groupId: this.#group(), apiUrl: this.#bench.api.url };
    await client.ask({ kind: "connect", ...place, inFlight: IN_FLIGHT });
    return bareConsumerOf(client);
  }

  async #agent(topic: string): Promise<Consumer> {
    const args = ["--kafka_brokers", this.#broker.address("PLAINTEXT"), "--kafka_group_id", this.#group()];
    return consumerOf(
      await this.#stage.agent({
        apiUrl: this.#bench.api.url,
        args: [...args, "--kafka_from", "beginning", "-e", topic],
      }),
    );
  }

  #group(): string {
    return `bench-${++this.#groups}`;
  }
}
