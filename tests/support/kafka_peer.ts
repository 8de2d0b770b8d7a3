/** Somebody else at the broker: what a test produces with, and what reads what the agent has produced. */

import { type Admin, Kafka, type KafkaConfig, logLevel, type Message, type SASLOptions } from "kafkajs";
import { readFileSync } from "node:fs";
import { until } from "./until.ts";

export interface KafkaPeerOptions {
  /** Turns TLS on. */
  caFile?: string;
  user?: { name: string; password: string; mechanism: "plain" | "scram-sha-256" | "scram-sha-512" };
}

export interface KafkaMessage {
  partition: number;
  offset: number;
  key: string | null;
  value: string | null;
}

const CONNECTION_TIMEOUT_MS = 10_000;
const RETRIES = 10, FIRST_RETRY_MS = 100;
const FETCH_WAIT_MS = 100;

export class KafkaPeer implements AsyncDisposable {
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #connected = new AsyncDisposableStack();

  private constructor(kafka: Kafka) {
    this.#kafka = kafka;
    this.#admin = kafka.admin();
  }

  /** Rejects when the broker or its TLS refuses. */
  static async connect(address: string, options: KafkaPeerOptions = {}): Promise<KafkaPeer> {
    const peer = new KafkaPeer(new Kafka(configOf(address, options)));
    peer.#connected.defer(() => peer.#admin.disconnect());
    try {
      await peer.#admin.connect();
      return peer;
    } catch (error) {
      await peer[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Answers with its name, which no other test has unless it is given. */
  async createTopic(
    partitions = 1,
    config: Record<string, string> = {},
    topic = `topic-${crypto.randomUUID()}`,
  ): Promise<string> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.#admin.createTopics({
      topics: [{ topic, numPartitions: partitions, configEntries }],
      waitForLeaders: true,
    });
    return topic;
  }

  /** By partition; -1 where the group has committed nothing. */
  async committed(groupId: string, topic: string): Promise<number[]> {
    const [answer] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
    return (answer?.partitions ?? []).toSorted((a, b) => a.partition - b.partition)
      .map(({ offset }) => Number(offset));
  }

  /** Resolves once the broker has all of them. */
  async send(topic: string, messages: Message[]): Promise<void> {
    const producer = this.#kafka.producer({ idempotent: true });
    await producer.connect();
    try {
      await producer.send({ topic, messages, acks: -1 });
    } finally {
      await producer.disconnect();
    }
  }

  /** For one send after the other, over one connection that ends with the peer. */
  async sender(topic: string): Promise<(messages: Message[]) => Promise<void>> {
    const producer = this.#kafka.producer();
    this.#connected.defer(() => producer.disconnect());
    await producer.connect();
    return async (messages) => void await producer.send({ topic, messages, acks: -1 });
  }

  /** All that is in the topic and all that will come, in a list that grows. */
  async read(topic: string): Promise<KafkaMessage[]> {
    const messages: KafkaMessage[] = [];
    const consumer = this.#kafka.consumer({
      groupId: `reader-${crypto.randomUUID()}`,
      maxWaitTimeInMs: FETCH_WAIT_MS,
    });
    this.#connected.defer(() => consumer.disconnect());
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage({ partition, message: { offset, key, value } }) {
        messages.push({
          partition,
          offset: Number(offset),
          key: key?.toString() ?? null,
          value: value?.toString() ?? null,
        });
        return Promise.resolve();
      },
    });
    return messages;
  }

  /** The first `count` of the topic, once they are there. */
  async received(topic: string, count: number, timeoutMs?: number): Promise<KafkaMessage[]> {
    const messages = await this.read(topic);
    await until(() => messages.length >= count, `${count} Kafka messages`, timeoutMs);
    return messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connected.disposeAsync();
  }
}

function configOf(address: string, { caFile, user }: KafkaPeerOptions): KafkaConfig {
  const config: KafkaConfig = {
    brokers: [address],
    clientId: "peer",
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: FIRST_RETRY_MS, retries: RETRIES },
  };
  if (caFile !== undefined) config.ssl = { ca: [readFileSync(caFile, "utf8")] };
  if (user !== undefined) {
    const { name: username, password, mechanism } = user;
    config.sasl = { mechanism, username, password } as SASLOptions;
  }
  return config;
}
