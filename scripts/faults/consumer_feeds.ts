/** A broker that can be broken in the middle of a run, what is published to it, and how an agent is told of it. */

import { Buffer } from "node:buffer";
import { KafkaPeer } from "../../tests/support/kafka_peer.ts";
import { MqttPeer } from "../../tests/support/mqtt_peer.ts";
import { NetworkProxy } from "../../tests/support/network_proxy.ts";
import { Certificates } from "../services/certificates.ts";
import { type KafkaBroker, startKafka } from "../services/kafka.ts";
import { type Mosquitto, startMosquitto } from "../services/mosquitto.ts";

export interface FeedMessage {
  /** What keeps an order among messages of a Kafka topic. */
  key: string;
  value: string | Uint8Array;
}

export interface Feed extends AsyncDisposable {
  /** Whether the agent stores messages before it delivers them. */
  readonly isBuffered: boolean;
  /** Of the agent, which goes through the proxy. */
  readonly flags: readonly string[];
  readonly proxy: NetworkProxy;
  /** Resolves when the broker has them, in this order for each key. */
  send(messages: readonly FeedMessage[]): Promise<void>;
  /** SIGKILL of the broker, with all on disk that it has acknowledged. */
  killBroker(): Promise<void>;
  restartBroker(): Promise<void>;
}

export interface MqttFeedOptions {
  qos?: 1 | 2;
  isBuffered?: boolean;
}

type KafkaSender = Awaited<ReturnType<KafkaPeer["sender"]>>;

const TOPIC = "faults/events";
const SESSION = "faults-agent";
const PARTITIONS = 4;
const USER = { name: "alice", password: "alice-secret" };
/** Published and not yet acknowledged. */
const PUBLISHES_AT_ONCE = 500;

/** Its session exists before the agent does, so nothing that is published is without a subscriber. */
export class MqttFeed implements Feed {
  readonly isBuffered: boolean;
  readonly flags: readonly string[];
  readonly proxy: NetworkProxy;
  readonly #mosquitto: Mosquitto<"plain">;
  readonly #qos: 1 | 2;
  #peer: MqttPeer;

  private constructor(
    mosquitto: Mosquitto<"plain">,
    proxy: NetworkProxy,
    peer: MqttPeer,
    { qos = 1, isBuffered = false }: MqttFeedOptions,
  ) {
    this.#mosquitto = mosquitto;
    this.proxy = proxy;
    this.#peer = peer;
    this.#qos = qos;
    this.isBuffered = isBuffered;
    const place = ["-m", `127.0.0.1:${proxy.port}`, "-n", SESSION, "-e", TOPIC, "--mqtt_qos", `${qos}`];
    this.flags = [...place, ...(isBuffered ? ["--mqtt_buffer"] : [])];
  }

  static async start(options: MqttFeedOptions = {}): Promise<MqttFeed> {
    const mosquitto = await startMosquitto();
    const url = mosquitto.url("plain");
    const proxy = await NetworkProxy.start(mosquitto.port("plain"));
    {
      await using subscriber = await MqttPeer.connect(url, { session: SESSION });
      await subscriber.subscribe(TOPIC, options.qos ?? 1);
    }
    return new MqttFeed(mosquitto, proxy, await MqttPeer.connect(url), options);
  }

  async send(messages: readonly FeedMessage[]): Promise<void> {
    for (let at = 0; at < messages.length; at += PUBLISHES_AT_ONCE) {
      const some = messages.slice(at, at + PUBLISHES_AT_ONCE);
      await Promise.all(some.map(({ value }) => this.#peer.publish(TOPIC, value, this.#qos)));
    }
  }

  async killBroker(): Promise<void> {
    await this.#mosquitto.persist();
    await this.#mosquitto.kill();
    await this.#peer[Symbol.asyncDispose]();
  }

  async restartBroker(): Promise<void> {
    await this.#mosquitto.restart();
    this.#peer = await MqttPeer.connect(this.#mosquitto.url("plain"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
    await this.proxy[Symbol.asyncDispose]();
    await this.#mosquitto[Symbol.asyncDispose]();
  }
}

/** One Kafka for many feeds, because its start is dear. */
export class KafkaSite implements AsyncDisposable {
  readonly kafka: KafkaBroker;
  readonly proxy: NetworkProxy;
  readonly #certificates: Certificates;

  private constructor(kafka: KafkaBroker, proxy: NetworkProxy, certificates: Certificates) {
    this.kafka = kafka;
    this.proxy = proxy;
    this.#certificates = certificates;
  }

  /** The agent is sent through the proxy; whoever publishes has a listener apart. */
  static async start(): Promise<KafkaSite> {
    const certificates = await Certificates.create();
    const proxy = await NetworkProxy.start();
    const users = { [USER.name]: USER.password };
    const kafka = await startKafka({ certificates, users, advertisedPorts: { PLAINTEXT: proxy.port } });
    proxy.forwardTo(Number(kafka.address("PLAINTEXT").split(":").at(-1)));
    return new KafkaSite(kafka, proxy, certificates);
  }

  async feed(): Promise<KafkaFeed> {
    return await KafkaFeed.start(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.kafka[Symbol.asyncDispose]();
    await this.#certificates[Symbol.asyncDispose]();
  }
}

/** A topic and a group of its own. */
export class KafkaFeed implements Feed {
  readonly isBuffered = false;
  readonly flags: readonly string[];
  readonly proxy: NetworkProxy;
  readonly #site: KafkaSite;
  readonly #peer: KafkaPeer;
  readonly #send: KafkaSender;

  private constructor(site: KafkaSite, peer: KafkaPeer, topic: string, send: KafkaSender) {
    this.#site = site;
    this.proxy = site.proxy;
    this.#peer = peer;
    this.#send = send;
    const place = ["--kafka_brokers", `127.0.0.1:${site.proxy.port}`, "-e", topic];
    this.flags = [...place, "--kafka_group_id", `group-${topic}`, "--kafka_from", "beginning"];
  }

  static async start(site: KafkaSite): Promise<KafkaFeed> {
    const user = { ...USER, mechanism: "plain" as const };
    const peer = await KafkaPeer.connect(site.kafka.address("SASL_PLAINTEXT"), { user });
    const topic = await peer.createTopic(PARTITIONS);
    return new KafkaFeed(site, peer, topic, await peer.sender(topic));
  }

  async send(messages: readonly FeedMessage[]): Promise<void> {
    await this.#send(messages.map(({ key, value }) => ({
      key,
      value: typeof value === "string" ? value : Buffer.from(value),
    })));
  }

  async killBroker(): Promise<void> {
    await this.#site.kafka.kill();
  }

  async restartBroker(): Promise<void> {
    await this.#site.kafka.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }
}
