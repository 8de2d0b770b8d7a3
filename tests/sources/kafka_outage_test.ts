import assert from "node:assert/strict";
import { type KafkaBroker, startKafka } from "../../scripts/services/kafka.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { KafkaSource } from "../../src/sources/kafka.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { memoryLog } from "../support/memory_log.ts";
import { TestReceiver } from "../support/message_receivers.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const KAFKA = { needs: ["kafka"] } as const;
/** Contract: an outage shows in the readiness within 10 s. */
const NOTICE_MAX_MS = 10_000;
/** Far less than the 25 s a shutdown may take. */
const STOP_MAX_MS = 15_000;
const BACK_MAX_MS = 60_000;
const SASL = { mechanism: "plain", username: "alice", password: "alice-secret" } as const;

brokerTest(
  "KafkaSource gets over a broker that is killed and comes back: no message lost, none handed over twice",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.createTopic(["held", "settled"]);
    const { source, receiver, log } = site.start(topic, (text) => text === "held");
    await until(() => receiver.taken.length === 2, "both messages");
    await site.kafka.kill();
    // Settles while it cannot be committed, and long before the session is over, which would take it back.
    receiver.release();
    await until(() => source.readiness() !== null, "the readiness shows it", NOTICE_MAX_MS);
    assert.match(source.readiness()?.error ?? "", /ECONNREFUSED|closed|answered/i);
    await site.kafka.restart();
    await until(() => source.readiness() === null, "it consumes again", BACK_MAX_MS);
    await site.send(topic, ["later"]);
    await until(() => receiver.texts.includes("later"), "what came later", BACK_MAX_MS);
    assert.deepEqual(receiver.texts, ["held", "settled", "later"]);
    await until(async () => (await site.committed(topic)) === 3, "all is committed");
    const told = log.lines.filter((line) => line.startsWith("warn"));
    assert.ok(told.length <= 6, told.join("\n"));
  },
);

brokerTest(
  "KafkaSource takes back what is in flight once its session is over, because others may have it; stop() does not wait for silent brokers",
  { ...KAFKA, sanitizeOps: false },
  async () => {
    await using site = await Site.open();
    const topic = await site.createTopic(["1", "2"]);
    const { source, receiver } = site.start(topic, (text) => text === "1");
    await until(() => receiver.held === 1 && receiver.taken.length === 2, "one is in flight");
    site.proxy.stall();
    await until(() => source.readiness() !== null, "the readiness shows it", NOTICE_MAX_MS);
    await until(() => receiver.aborted.length === 1, "it is aborted", NOTICE_MAX_MS);
    site.proxy.heal();
    await until(() => receiver.held === 1, "it is handed over again", BACK_MAX_MS);
    receiver.release();
    await until(async () => (await site.committed(topic)) === 2, "all is committed");
    assert.deepEqual(receiver.texts, ["1", "2", "1"]);
    await until(() => source.readiness() === null, "it is ready");
    site.proxy.stall();
    const since = performance.now();
    await source.stop(100);
    assert.ok(performance.now() - since < STOP_MAX_MS);
  },
);

brokerTest(
  "KafkaSource hands over again what it took back when the group turns out to have kept it as a member",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.createTopic(["1", "2"]);
    const { source, receiver } = site.start(topic, (text) => text === "1");
    await until(() => receiver.held === 1 && receiver.taken.length === 2, "one is in flight");
    // The broker hears the next heartbeat, so its session outlasts ours by that much.
    site.proxy.stallAnswers();
    await until(() => receiver.aborted.length === 1, "it is aborted", NOTICE_MAX_MS);
    site.proxy.heal();
    await until(() => receiver.held === 1, "it is handed over again");
    receiver.release();
    await until(async () => (await site.committed(topic)) === 2, "all is committed");
    assert.deepEqual(receiver.texts, ["1", "2", "1"]);
    assert.equal(source.readiness(), null);
  },
);

brokerTest(
  "KafkaSource commits nothing late: what was on its way when it lost its session does not undo what others have committed",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.createTopic(["1", "2", "3"]);
    const late = site.start(topic, () => true);
    await until(() => late.receiver.taken.length === 3, "all are in flight");
    site.proxy.stall();
    late.receiver.taken[0]?.settle();
    const other = site.start(topic, () => false, "directly");
    await until(async () => (await site.committed(topic)) === 3, "the other one commits", BACK_MAX_MS);
    site.proxy.heal();
    const isMember = (line: string) => line.includes("Member of the Kafka group");
    await until(
      () => late.log.lines.filter(isMember).length === 2,
      "the late one is a member again",
      BACK_MAX_MS,
    );
    await other.source.stop(0);
    await until(() => late.source.readiness() === null, "it consumes again", BACK_MAX_MS);
    await site.send(topic, ["4"]);
    await until(() => late.receiver.texts.includes("4"), "what came later", BACK_MAX_MS);
    assert.equal(await site.committed(topic), 3);
  },
);

/** A broker behind a network that can be stalled for the source, not for the test. */
class Site implements AsyncDisposable {
  readonly kafka: KafkaBroker;
  readonly proxy: NetworkProxy;
  readonly #stack: AsyncDisposableStack;

  private constructor(kafka: KafkaBroker, proxy: NetworkProxy, stack: AsyncDisposableStack) {
    this.kafka = kafka;
    this.proxy = proxy;
    this.#stack = stack;
  }

  static async open(): Promise<Site> {
    await using stack = new AsyncDisposableStack();
    const proxy = stack.use(await NetworkProxy.start());
    const options = { users: { [SASL.username]: SASL.password }, advertisedPorts: { PLAINTEXT: proxy.port } };
    const kafka = stack.use(await startKafka(options));
    proxy.forwardTo(kafka.port("PLAINTEXT"));
    return new Site(kafka, proxy, stack.move());
  }

  async createTopic(texts: string[]): Promise<string> {
    await using peer = await this.#peer();
    const topic = await peer.createTopic(1);
    await peer.send(topic, texts.map((value) => ({ value })));
    return topic;
  }

  async send(topic: string, texts: string[]): Promise<void> {
    await using peer = await this.#peer();
    await peer.send(topic, texts.map((value) => ({ value })));
  }

  async committed(topic: string): Promise<number | undefined> {
    await using peer = await this.#peer();
    return (await peer.committed("group", topic))[0];
  }

  start(
    topic: string,
    isHeld: (text: string) => boolean,
    way: "through the proxy" | "directly" = "through the proxy",
  ) {
    const connection = way === "directly"
      ? { brokers: [this.kafka.address("SASL_PLAINTEXT")], tls: null, sasl: SASL }
      : { brokers: [`127.0.0.1:${this.proxy.port}`], tls: null, sasl: null };
    const receiver = new TestReceiver(isHeld), log = memoryLog();
    const source = new KafkaSource({ connection, groupId: "group", from: "beginning" }, [topic], receiver, {
      ...{ clock: systemClock, random: Math.random, log, onBrokerRefused: () => {} },
    });
    this.#stack.use(source);
    source.start();
    return { source, receiver, log };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.heal();
    await this.#stack.disposeAsync();
  }

  async #peer(): Promise<KafkaPeer> {
    const user = { name: SASL.username, password: SASL.password, mechanism: SASL.mechanism };
    return await KafkaPeer.connect(this.kafka.address("SASL_PLAINTEXT"), { user });
  }
}
