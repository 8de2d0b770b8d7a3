import assert from "node:assert/strict";
import { type KafkaBroker, startKafka } from "../../scripts/services/kafka.ts";
import { findKafka } from "../../scripts/services/kafka_jars.ts";
import { edgeItem } from "../../src/domain/edge_item.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { KafkaSink } from "../../src/sinks/kafka.ts";
import { type SinkUnderTest, testSinkContract } from "../contracts/sink_contract.ts";
import { edgePayload, numberedItems } from "../support/edge_items.ts";
import { freePort } from "../support/agent_process.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { memoryLog } from "../support/memory_log.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { brokerTest } from "../support/services.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { until } from "../support/until.ts";

let kafka: KafkaBroker;
/** Where each test has a proxy for its sink; the peer has a way of its own. */
let proxyPort: number;

const ALICE = { name: "alice", password: "alice-secret", mechanism: "plain" } as const;
const LIVE = new AbortController().signal;

if (findKafka() !== null) {
  Deno.test.beforeAll(async () => {
    proxyPort = await freePort();
    kafka = await startKafka({
      users: { [ALICE.name]: ALICE.password },
      advertisedPorts: { PLAINTEXT: proxyPort },
    });
  });
  Deno.test.afterAll(() => kafka[Symbol.asyncDispose]());
}

testSinkContract("KafkaSink", openContract, (name, run) => brokerTest(name, { needs: ["kafka"] }, run));

brokerTest("KafkaSink.deliver() gives messages their alert's id as key, and none to one without", {
  needs: ["kafka"],
}, async () => {
  await using stack = new AsyncDisposableStack();
  stack.use(await startProxy());
  const peer = stack.use(await connectPeer());
  const topic = await peer.createTopic(4);
  const sink = stack.use(openSink(topic));
  const items = [
    edgeItem("1", { ...edgePayload(1), id: "foobar" }),
    edgeItem("2", { ...edgePayload(2), id: 21 }),
    edgeItem("3", { summary: "no id" }),
    edgeItem("4", { ...edgePayload(4), id: "foobar" }),
  ];
  assert.deepEqual((await outcomesOf(sink, items, LIVE)).map(({ kind }) => kind), Array(4).fill("delivered"));
  const messages = await peer.received(topic, 4);
  const found = items.map(({ body }) => messages.find(({ value }) => value === body));
  assert.deepEqual(found.map((message) => message?.key), ["foobar", "21", null, "foobar"]);
  // murmur2 of "foobar" is -790332482, of "21" -973932308 (Apache Kafka, UtilsTest.java); positive, and modulo 4.
  assert.deepEqual([0, 1, 3].map((at) => found[at]?.partition), [2, 0, 2]);
});

brokerTest(
  "KafkaSink.deliver() rejects an item that is too large for the topic, and delivers those around it",
  {
    needs: ["kafka"],
  },
  async () => {
    await using stack = new AsyncDisposableStack();
    stack.use(await startProxy());
    const peer = stack.use(await connectPeer());
    const topic = await peer.createTopic(2);
    const sink = stack.use(openSink(topic));
    const huge = edgeItem("3", { ...edgePayload(3), details: "x".repeat(1_100_000) });
    const items = [...numberedItems(1, 2), huge, ...numberedItems(4, 2)];
    const outcomes = await outcomesOf(sink, items, LIVE);
    assert.deepEqual(outcomes.map(({ kind }) => kind), [
      "delivered",
      "delivered",
      "rejected",
      "delivered",
      "delivered",
    ]);
    assert.match(JSON.stringify(outcomes[2]), /Kafka refused it: .*larger/);
    const values = new Set((await peer.received(topic, 4)).map(({ value }) => value));
    assert.deepEqual(values, new Set(items.filter((item) => item !== huge).map(({ body }) => body)));
  },
);

brokerTest("KafkaSink.deliver() keeps the order of each alert through cut connections", {
  needs: ["kafka"],
}, async () => {
  await using stack = new AsyncDisposableStack();
  const peer = stack.use(await connectPeer());
  const proxy = stack.use(await startProxy());
  const topic = await peer.createTopic(3);
  const sink = stack.use(openSink(topic));
  const messages = await peer.read(topic);
  const isEnough = new AbortController();
  const cuts = (async () => {
    while (!isEnough.signal.aborted) {
      const before = messages.length;
      await until(() => messages.length > before || isEnough.signal.aborted, "a message passes", 30_000);
      proxy.cut();
      await until(() => heals(proxy), "the port is free again");
    }
  })();
  const items = Array.from({ length: 600 }, (_, n) => edgeItem(`${n}`, { id: `alert-${n % 7}`, n }));
  for (let at = 0; at < items.length;) {
    const outcomes = await outcomesOf(sink, items.slice(at, at + 20), LIVE);
    at += outcomes.filter(({ kind }) => kind === "delivered").length;
  }
  isEnough.abort();
  await cuts;
  await until(
    () => new Set(messages.map(({ value }) => value)).size === items.length,
    "all are there",
    30_000,
  );
  for (let alert = 0; alert < 7; alert++) {
    const numbers = messages.filter(({ key }) => key === `alert-${alert}`)
      .map(({ value }) => JSON.parse(value ?? "").n as number);
    const firstSeen = [...new Set(numbers)];
    assert.deepEqual(firstSeen, firstSeen.toSorted((a, b) => a - b));
  }
});

async function openContract(): Promise<SinkUnderTest> {
  const stack = new AsyncDisposableStack();
  const peer = stack.use(await connectPeer());
  const proxy = stack.use(await startProxy());
  const topic = await peer.createTopic();
  const sink = stack.use(openSink(topic));
  const messages = await peer.read(topic);
  return {
    sink,
    received: () => messages.map(({ value }) => value ?? ""),
    outage: { begin: () => Promise.resolve(proxy.cut()), end: () => Promise.resolve(proxy.heal()) },
    stall: { begin: () => Promise.resolve(proxy.stall()), end: () => Promise.resolve(proxy.heal()) },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function openSink(topic: string): KafkaSink {
  const connection = { brokers: [`127.0.0.1:${proxyPort}`], tls: null, sasl: null };
  const deps = { clock: systemClock, log: memoryLog(), onBrokerRefused: () => {} };
  return new KafkaSink({ connection, topic }, deps);
}

function heals(proxy: NetworkProxy): boolean {
  try {
    proxy.heal();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}

async function startProxy(): Promise<NetworkProxy> {
  return await NetworkProxy.start(kafka.port("PLAINTEXT"), proxyPort);
}

async function connectPeer(): Promise<KafkaPeer> {
  return await KafkaPeer.connect(kafka.address("SASL_PLAINTEXT"), { user: ALICE });
}
