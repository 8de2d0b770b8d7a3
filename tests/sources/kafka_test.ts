import assert from "node:assert/strict";
import { Certificates, type KeyPair } from "../../scripts/services/certificates.ts";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import type { KafkaConnection } from "../../src/clients/kafka_connection.ts";
import type { KafkaConsumerConfig } from "../../src/sources/consumers_config.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { KafkaSource } from "../../src/sources/kafka.ts";
import { IN_FLIGHT_MAX } from "../../src/sources/kafka_partition.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { memoryLog } from "../support/memory_log.ts";
import { TestReceiver } from "../support/message_receivers.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const KAFKA = { needs: ["kafka"] } as const;
/** kafkajs says why it cannot connect once it has tried nine times: more than 5 s, and longer on a busy machine. */
const REASON_MAX_MS = 40_000;

brokerTest(
  "KafkaSource starts a new group at the end, and skips nothing that comes while it is down",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(2);
    await site.send(topic, ["before"]);
    const first = site.start([topic]);
    await first.ready();
    assert.deepEqual(
      (await site.peer.committed(site.groupId, topic)).toSorted(),
      [0, 1],
      "before any message",
    );
    await first.source.stop(1_000);
    await site.send(topic, ["meanwhile"]);
    const second = site.start([topic]);
    await until(() => second.receiver.taken.length > 0, "a message");
    assert.deepEqual(second.receiver.texts, ["meanwhile"]);
    assert.deepEqual(first.receiver.texts, []);
  },
);

brokerTest(
  "KafkaSource with --kafka_from beginning reads what was there before its group",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(1);
    await site.send(topic, ["1", "2", "3"]);
    const agent = site.start([topic], { from: "beginning" });
    await until(() => agent.receiver.taken.length === 3, "all messages");
    assert.deepEqual(agent.receiver.texts, ["1", "2", "3"]);
    await agent.committed(topic, [3]);
  },
);

brokerTest("KafkaSource hands over key and topic; without value the payload is empty", KAFKA, async () => {
  await using site = await Site.open();
  const topic = await site.peer.createTopic(1);
  await site.peer.send(topic, [{ key: "schlüssel", value: "a" }, { key: null, value: null }]);
  const agent = site.start([topic], { from: "beginning" });
  await until(() => agent.receiver.taken.length === 2, "both messages");
  assert.deepEqual(
    agent.receiver.taken.map(({ topic, key, text }) => ({ topic, key, text })),
    [{ topic, key: "schlüssel", text: "a" }, { topic, key: null, text: "" }],
  );
});

brokerTest(
  "KafkaSource commits up to the first message that is not settled, and repeats from there",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(1);
    await site.send(topic, numbers(10));
    const first = site.start([topic], { from: "beginning", isHeld: (text) => text === "4" });
    await until(() => first.receiver.taken.length === 10, "all messages");
    await first.committed(topic, [4]);
    await first.source.stop(0);
    assert.deepEqual(first.receiver.aborted, ["4"]);
    assert.deepEqual(await site.peer.committed(site.groupId, topic), [4]);
    const second = site.start([topic]);
    await second.committed(topic, [10]);
    assert.deepEqual(second.receiver.texts, ["4", "5", "6", "7", "8", "9"]);
  },
);

brokerTest(
  "KafkaSource.stop() waits for what is in hand, commits it and leaves the group at once",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(1);
    await site.send(topic, ["last"]);
    const first = site.start([topic], { from: "beginning", isHeld: () => true });
    await until(() => first.receiver.held === 1, "a message in hand");
    const stopped = first.source.stop(10_000);
    first.receiver.release();
    await stopped;
    assert.deepEqual(await site.peer.committed(site.groupId, topic), [1]);
    const second = site.start([topic]);
    // Were the first one still taken for a member, this would take its session time-out of 6 s.
    await until(() => second.source.readiness() === null, "the other one is ready", 5_000);
    assert.deepEqual(second.receiver.texts, []);
  },
);

brokerTest(
  "KafkaSource shares its partitions with others of the group: nothing lost, nothing twice, in order",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(4);
    const first = site.start([topic], { from: "beginning" });
    await first.ready();
    const sent: string[] = [];
    const send = async (count: number) => {
      const texts = Array.from({ length: count }, () => `${sent.length + 0}`).map((_, n) =>
        `${sent.length + n}`
      );
      sent.push(...texts);
      await site.send(topic, texts);
    };
    await send(100);
    const second = site.start([topic], { from: "beginning" });
    await until(() => second.partitions().length === 2 && first.partitions().length === 2, "both have two");
    await send(100);
    await until(() => first.receiver.taken.length + second.receiver.taken.length === 200, "all messages");
    await second.source.stop(1_000);
    await until(() => first.partitions().length === 4, "the first has all again");
    await send(100);
    const all = () => [...first.receiver.texts, ...second.receiver.texts];
    await until(() => all().length >= 300, "all messages");
    assert.deepEqual(all().map(Number).toSorted((a, b) => a - b), [...Array(300).keys()]);
    assert.ok(second.receiver.taken.length > 0);
  },
);

brokerTest(
  "KafkaSource aborts what is in flight of a partition that goes to another member, who gets it",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(2);
    const first = site.start([topic], { from: "beginning", isHeld: () => true });
    await first.ready();
    await site.peer.send(topic, [{ partition: 0, value: "stays" }, { partition: 1, value: "goes" }]);
    await until(() => first.receiver.held === 2, "both in flight");
    const second = site.start([topic], { from: "beginning", isHeld: () => true });
    await until(() => second.receiver.held === 1, "one has moved");
    const [moved] = second.receiver.texts;
    await until(() => first.receiver.aborted.length > 0, "the first one has heard of it");
    assert.deepEqual(first.receiver.aborted, [moved]);
    first.receiver.release();
    second.receiver.release();
    await first.committed(topic, [1, 1]);
    // Kept, it was not handed over again.
    assert.equal(first.receiver.taken.length, 2);
  },
);

brokerTest(
  "KafkaSource holds a partition back for longer than the session without losing it; the others go on",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(2);
    const agent = site.start([topic], { from: "beginning", isHeld: (text) => text.startsWith("stuck") });
    const count = 3 * IN_FLIGHT_MAX;
    await site.peer.send(topic, numbers(count).map((n) => ({ partition: 0, value: `stuck ${n}` })));
    await until(() => agent.receiver.held === IN_FLIGHT_MAX, "the partition is full");
    const since = performance.now();
    let sent = 0;
    while (performance.now() - since < 8_000) {
      await site.peer.send(topic, [{ partition: 1, value: `free ${sent++}` }]);
      await until(
        () => agent.receiver.texts.filter((text) => text.startsWith("free")).length === sent,
        "it passes",
      );
    }
    assert.equal(agent.receiver.held, IN_FLIGHT_MAX);
    assert.equal(agent.source.readiness(), null);
    agent.receiver.release();
    await agent.committed(topic, [count, sent]);
    assert.equal(agent.joins(), 1);
    const stuck = agent.receiver.texts.filter((text) => text.startsWith("stuck"));
    assert.deepEqual(stuck, numbers(count).map((n) => `stuck ${n}`));
  },
);

brokerTest(
  "KafkaSource waits for a topic that does not exist, says so, and reads the others meanwhile",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(1), missing = `missing-${crypto.randomUUID()}`;
    const agent = site.start([topic, missing]);
    await until(() => agent.source.readiness()?.consumer_started === true, "it has started");
    await until(() => agent.joins() === 1, "it has joined");
    assert.deepEqual(agent.source.readiness(), {
      component: "kafka",
      consumer_started: true,
      subscribed: false,
      worker_exited: false,
      error: `the topic ${missing} does not exist`,
    });
    await site.send(topic, ["1"]);
    await until(() => agent.receiver.taken.length === 1, "the message of the other topic");
    await site.peer.createTopic(1, {}, missing);
    await agent.ready();
    await site.send(missing, ["2"]);
    await until(() => agent.receiver.taken.length === 2, "a message of the topic that has come");
  },
);

brokerTest(
  "KafkaSource reads its own topics in a group whose members have different ones",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const a = await site.peer.createTopic(2), b = await site.peer.createTopic(2);
    const first = site.start([a], { from: "beginning" }), second = site.start([b], { from: "beginning" });
    await until(
      () => first.partitions().length === 2 && second.partitions().length === 2,
      "each has its own",
    );
    await site.send(a, numbers(10));
    await site.send(b, numbers(10));
    await until(
      () => first.receiver.taken.length === 10 && second.receiver.taken.length === 10,
      "all messages",
    );
  },
);

for (const compression of ["gzip", "snappy", "lz4", "zstd"]) {
  brokerTest(`KafkaSource reads batches that are compressed with ${compression}`, KAFKA, async () => {
    await using site = await Site.open();
    const topic = await site.peer.createTopic(1, { "compression.type": compression });
    const texts = numbers(500).map((n) =>
      `${n} ${crypto.randomUUID().repeat(Number(n) % 5)} ${"ab".repeat(300)}`
    );
    await site.send(topic, texts);
    const agent = site.start([topic], { from: "beginning" });
    await until(() => agent.receiver.taken.length === texts.length, "all messages");
    assert.deepEqual(agent.receiver.texts, texts);
  });
}

for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"] as const) {
  brokerTest(
    `KafkaSource connects over TLS with ${mechanism}; a wrong password is in the readiness`,
    KAFKA,
    async () => {
      await using site = await Site.open();
      const topic = await site.peer.createTopic(1);
      await site.send(topic, ["1"]);
      const connection = (password: string): KafkaConnection => ({
        brokers: [site.address("SASL_SSL")],
        tls: { caPath: site.caFile, certPath: null, keyPath: null },
        sasl: { mechanism, username: "alice", password },
      });
      const agent = site.start([topic], { from: "beginning", connection: connection(site.password) });
      await until(() => agent.receiver.taken.length === 1, "a message");
      const other = site.start([topic], { connection: connection("wrong") });
      await until(
        () => /authenticat/i.test(other.source.readiness()?.error ?? ""),
        "the readiness says it",
        REASON_MAX_MS,
      );
    },
  );
}

brokerTest(
  "KafkaSource says in its readiness that it does not trust the broker's certificate",
  KAFKA,
  async () => {
    await using site = await Site.open();
    const connection = {
      brokers: [site.address("SSL")],
      tls: { caPath: null, certPath: null, keyPath: null },
      sasl: null,
    };
    const agent = site.start(["any"], { connection });
    await until(
      () => /certificate|issuer/i.test(agent.source.readiness()?.error ?? ""),
      "the readiness says it",
      REASON_MAX_MS,
    );
  },
);

brokerTest(
  "KafkaSource shows the broker its certificate; one that the broker does not trust is in the readiness",
  KAFKA,
  async () => {
    await using site = await Site.open();
    await using strangers = await Certificates.create();
    const topic = await site.peer.createTopic(1);
    await site.send(topic, ["1"]);
    const connection = ({ certFile, keyFile }: KeyPair): KafkaConnection => ({
      brokers: [site.address("SSL")],
      tls: { caPath: site.caFile, certPath: certFile, keyPath: keyFile },
      sasl: null,
    });
    const agent = site.start([topic], { from: "beginning", connection: connection(site.client) });
    await until(() => agent.receiver.taken.length === 1, "a message");
    const other = site.start([topic], { connection: connection(strangers.client) });
    await until(
      () => /certificate|handshake|alert|closed|reset/i.test(other.source.readiness()?.error ?? ""),
      "the readiness says it",
      REASON_MAX_MS,
    );
    assert.equal(other.receiver.taken.length, 0);
  },
);

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${n}`);
}

interface AgentOptions {
  from?: KafkaConsumerConfig["from"];
  connection?: KafkaConnection;
  isHeld?: (text: string) => boolean;
}

/** A broker, somebody who produces, and agents of one group. */
class Site implements AsyncDisposable {
  readonly groupId = `group-${crypto.randomUUID()}`;
  readonly #kafka: Awaited<ReturnType<typeof sharedKafka>>;
  readonly peer: KafkaPeer;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    kafka: Awaited<ReturnType<typeof sharedKafka>>,
    peer: KafkaPeer,
    stack: AsyncDisposableStack,
  ) {
    this.#kafka = kafka;
    this.peer = peer;
    this.#stack = stack;
  }

  static async open(): Promise<Site> {
    await using stack = new AsyncDisposableStack();
    const kafka = stack.use(await sharedKafka());
    const peer = stack.use(await KafkaPeer.connect(kafka.address("PLAINTEXT")));
    return new Site(kafka, peer, stack.move());
  }

  get caFile(): string {
    return this.#kafka.caFile;
  }

  get client(): KeyPair {
    return this.#kafka.client;
  }

  get password(): string {
    return this.#kafka.users["alice"] ?? "";
  }

  address(listener: "SSL" | "SASL_SSL"): string {
    return this.#kafka.address(listener);
  }

  async send(topic: string, texts: readonly string[]): Promise<void> {
    await this.peer.send(topic, texts.map((value, n) => ({ key: `${n}`, value })));
  }

  start(topics: string[], { from = "latest", connection, isHeld }: AgentOptions = {}): Agent {
    const plain = { brokers: [this.#kafka.address("PLAINTEXT")], tls: null, sasl: null };
    const config = { connection: connection ?? plain, groupId: this.groupId, from };
    const agent = new Agent(config, topics, new TestReceiver(isHeld ?? "settling"), this.peer);
    this.#stack.use(agent.source);
    agent.source.start();
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

class Agent {
  readonly receiver: TestReceiver;
  readonly source: KafkaSource;
  readonly #log = memoryLog();
  readonly #groupId: string;
  readonly #peer: KafkaPeer;

  constructor(config: KafkaConsumerConfig, topics: string[], receiver: TestReceiver, peer: KafkaPeer) {
    const deps = { clock: systemClock, random: Math.random, log: this.#log, onBrokerRefused: () => {} };
    this.receiver = receiver;
    this.source = new KafkaSource(config, topics, receiver, deps);
    this.#groupId = config.groupId;
    this.#peer = peer;
  }

  async ready(): Promise<void> {
    await until(() => this.source.readiness() === null, "the source is ready", 20_000);
  }

  joins(): number {
    return this.#assignments().length;
  }

  /** `topic number`, as of the last time the group has formed. */
  partitions(): string[] {
    const last = this.#assignments().at(-1)?.match(/"partitions":"([^"]*)"/)?.[1] ?? "none";
    return last === "none" ? [] : last.split("; ").flatMap((entry) => {
      const [topic, list = ""] = entry.split(" ");
      return list.split(",").map((partition) => `${topic} ${partition}`);
    });
  }

  async committed(topic: string, offsets: number[]): Promise<void> {
    let last: number[] = [];
    await until(async () => {
      last = await this.#peer.committed(this.#groupId, topic);
      return JSON.stringify(last) === JSON.stringify(offsets);
    }, `${offsets} are committed`).catch((error) => assert.deepEqual(last, offsets, String(error)));
  }

  #assignments(): string[] {
    return this.#log.lines.filter((line) => line.startsWith("info Member of the Kafka group"));
  }
}
