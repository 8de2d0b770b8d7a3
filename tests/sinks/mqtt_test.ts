import assert from "node:assert/strict";
import { startMosquitto } from "../../scripts/services/mosquitto.ts";
import { edgeItem } from "../../src/domain/edge_item.ts";
import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import { MqttSink } from "../../src/sinks/mqtt.ts";
import { testSinkContract } from "../contracts/sink_contract.ts";
import { edgePayload, numberedItem, numberedItems } from "../support/edge_items.ts";
import { FakeClock } from "../support/fake_clock.ts";
import {
  CONNECT,
  FakeMqttBroker,
  type MqttPacket,
  PUBLISH,
  publishedIdOf,
} from "../support/fake_mqtt_broker.ts";
import { memoryLog } from "../support/memory_log.ts";
import { mqttAtRest, MqttPeer } from "../support/mqtt_peer.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { withRealPings } from "../support/ping_clock.ts";
import { brokerTest } from "../support/services.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { until } from "../support/until.ts";

const MOSQUITTO = { needs: ["mosquitto"] } as const;
const LIVE = new AbortController().signal;
const TOPIC = "edge/events";
const DELIVERED = { kind: "delivered" };
/** Reason codes of MQTT 5. */
const BAD_FORMAT = 0x99,
  NOT_AUTHORIZED = 0x87,
  PACKET_TOO_LARGE = 0x95,
  QUOTA_EXCEEDED = 0x97,
  NO_MATCHING_SUBSCRIBERS = 0x10;

function openSink(url: string, qos: 0 | 1 | 2 = 1, clock: Clock = systemClock) {
  const connection = { url, clientId: null, username: null, password: null, tls: null };
  const log = memoryLog();
  const sink = new MqttSink({ connection, topic: TOPIC, qos }, "sink-edge", { clock, random: () => 1, log });
  return {
    sink,
    log,
    async [Symbol.asyncDispose]() {
      await sink[Symbol.asyncDispose]();
      await mqttAtRest();
    },
  };
}

async function openContract(qos: 1 | 2) {
  const broker = await startMosquitto();
  const proxy = await NetworkProxy.start(broker.port("plain"));
  const under = openSink(`mqtt://127.0.0.1:${proxy.port}`, qos);
  const peer = await MqttPeer.connect(broker.url("plain"));
  await peer.subscribe(TOPIC, 2);
  return {
    sink: under.sink,
    received: () => peer.texts,
    outage: { begin: () => Promise.resolve(proxy.cut()), end: () => Promise.resolve(proxy.heal()) },
    stall: { begin: () => Promise.resolve(proxy.stall()), end: () => Promise.resolve(proxy.heal()) },
    async [Symbol.asyncDispose]() {
      await under[Symbol.asyncDispose]();
      await peer[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

for (const qos of [1, 2] as const) {
  testSinkContract(
    `MqttSink at QoS ${qos}`,
    () => openContract(qos),
    (name, run) => brokerTest(name, MOSQUITTO, run),
  );
}

/** A broker that answers each PUBLISH with the reason code of this function. */
function judging(codeOf: (packet: MqttPacket, count: number) => number) {
  let count = 0;
  return FakeMqttBroker.start({
    [PUBLISH]: (packet) => [0x40, 3, ...publishedIdOf(packet), codeOf(packet, ++count)],
  });
}

brokerTest("MqttSink at QoS 0 has delivered what is written", MOSQUITTO, async () => {
  await using broker = await startMosquitto();
  await using peer = await MqttPeer.connect(broker.url("plain"));
  await peer.subscribe(TOPIC, 2);
  await using under = openSink(broker.url("plain"), 0);
  const items = numberedItems(1, 100);
  assert.deepEqual(await outcomesOf(under.sink, items, LIVE), items.map(() => DELIVERED));
  await peer.received(100);
  assert.deepEqual(peer.texts, items.map(({ body }) => body));
});

brokerTest(
  "MqttSink delivers on after the broker was restarted, with nothing of before sent again",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using under = openSink(broker.url("plain"));
    assert.deepEqual(await outcomesOf(under.sink, [numberedItem(1)], LIVE), [DELIVERED]);
    await broker.kill();
    const abort = new AbortController();
    const delivery = outcomesOf(under.sink, numberedItems(2, 50), abort.signal);
    abort.abort();
    assert.equal((await delivery)[0]?.kind, "retry");
    await broker.restart();
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.subscribe(TOPIC, 2);
    assert.deepEqual(await outcomesOf(under.sink, [numberedItem(52)], LIVE), [DELIVERED]);
    await peer.received(1);
    assert.deepEqual(peer.texts, [numberedItem(52).body]);
  },
);

Deno.test("MqttSink.deliver() goes by the answer to that very packet, and ends with the first refusal", async () => {
  await using broker = await judging((_packet, count) => count === 3 ? QUOTA_EXCEEDED : 0);
  await using under = openSink(broker.url);
  assert.deepEqual(await outcomesOf(under.sink, numberedItems(1, 5), LIVE), [
    DELIVERED,
    DELIVERED,
    { kind: "retry", reason: "the broker refuses it: a quota is exceeded" },
  ]);
});

Deno.test("MqttSink.deliver() rejects what the broker refuses for itself, and retries what it refuses for now", async () => {
  const outcomeFor = async (code: number) => {
    await using broker = await judging(() => code);
    await using under = openSink(broker.url);
    return (await outcomesOf(under.sink, [numberedItem(1)], LIVE))[0];
  };
  for (
    const [code, reason] of [[PACKET_TOO_LARGE, "the packet is too large"], [
      BAD_FORMAT,
      "the payload does not have the form it says",
    ]] as const
  ) {
    assert.deepEqual(await outcomeFor(code), {
      kind: "rejected",
      status: null,
      reason: `the broker refuses it: ${reason}`,
      responseBody: null,
    });
  }
  assert.deepEqual(await outcomeFor(NOT_AUTHORIZED), {
    kind: "retry",
    reason: "the broker refuses it: not authorized",
  });
  assert.deepEqual(await outcomeFor(NO_MATCHING_SUBSCRIBERS), DELIVERED);
});

brokerTest(
  "MqttSink.deliver() rejects what is beyond Mosquitto's message_size_limit, and delivers the rest",
  MOSQUITTO,
  async () => {
    const POISON = 40;
    await using broker = await startMosquitto({ extraLines: ["message_size_limit 1000"] });
    await using under = openSink(broker.url("plain"));
    // Those before it too: what it has not read when it closes makes TCP drop the answers that are still under way.
    const items = Array.from(
      { length: 90 },
      (_, at) => numberedItem(at, { details: "x".repeat(at === POISON ? 1_000 : 700) }),
    );
    // As the loop above does it. The first refusal ends the connection for all that was under way.
    const settled: string[] = [];
    for (let attempt = 0; attempt < 5 && settled.length < items.length; attempt++) {
      const outcomes = await outcomesOf(under.sink, items.slice(settled.length), LIVE);
      settled.push(...outcomes.map(({ kind }) => kind).filter((kind) => kind !== "retry"));
    }
    assert.deepEqual(settled, items.map((_, at) => at === POISON ? "rejected" : "delivered"));
  },
);

Deno.test("MqttSink.deliver() rejects an item larger than the packets that the broker announces to take", async () => {
  const MAXIMUM_PACKET_SIZE = 39;
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: () => [0x20, 8, 0, 0, 5, MAXIMUM_PACKET_SIZE, 0, 0, 4, 0],
  });
  await using under = openSink(broker.url);
  const large = edgeItem("1", { text: "ü".repeat(500) });
  const [refused, taken] = await outcomesOf(under.sink, [large, numberedItem(2)], LIVE);
  assert.deepEqual(refused, {
    kind: "rejected",
    status: null,
    reason: "the broker takes packets of up to 1024 bytes",
    responseBody: null,
  });
  assert.deepEqual(taken, DELIVERED);
  assert.equal(broker.of(PUBLISH).length, 1);
});

Deno.test("MqttSink.deliver() has no more under way than the broker wants to have to acknowledge", async () => {
  const RECEIVE_MAXIMUM = 33;
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: () => [0x20, 6, 0, 0, 3, RECEIVE_MAXIMUM, 0, 2],
    [PUBLISH]: () => [],
  });
  await using under = openSink(broker.url);
  const delivery = outcomesOf(under.sink, numberedItems(1, 5), LIVE);
  for (let answered = 0; answered < 5; answered++) {
    // The first alone: nothing is known of the broker yet.
    const sent = answered === 0 ? 1 : Math.min(5, answered + 2);
    await until(() => broker.of(PUBLISH).length === sent, "as many as the broker takes are under way");
    const packet = broker.of(PUBLISH)[answered];
    assert.ok(packet);
    await broker.send([0x40, 2, ...publishedIdOf(packet)]);
  }
  assert.deepEqual(await delivery, Array.from({ length: 5 }, () => DELIVERED));
});

/** Ids of the items that came, in their order. */
function sentTo(broker: FakeMqttBroker): number[] {
  return broker.of(PUBLISH).map(({ body }) => Number(new TextDecoder().decode(body).match(/"n":(\d+)/)?.[1]));
}

/** Shows the sink a broker that answers at once, so that as many more may be under way. */
async function warmUp({ sink }: { sink: MqttSink }, broker: FakeMqttBroker, items: number): Promise<void> {
  await outcomesOf(sink, numberedItems(1, items), LIVE);
  broker.packets.length = 0;
}

Deno.test("MqttSink.deliver() sends a second item of an alert only when the broker has the first", async () => {
  await using broker = await judging((_packet, count) => count === 11 ? QUOTA_EXCEEDED : 0);
  await using under = openSink(broker.url);
  await warmUp(under, broker, 10);
  const items = [[1, "a"], [2, "b"], [3, "a"], [4, "c"]].map(([n, id]) =>
    edgeItem(`${n}`, { ...edgePayload(Number(n)), id })
  );
  const outcomes = await outcomesOf(under.sink, items, LIVE);
  assert.deepEqual(outcomes.map(({ kind }) => kind), ["retry"]);
  assert.deepEqual(sentTo(broker), [1, 2]);
});

Deno.test("MqttSink.deliver() publishes nothing more once the broker has refused one", async () => {
  let codes: number[] = [];
  await using broker = await judging(() => codes.shift() ?? 0);
  await using under = openSink(broker.url);
  await warmUp(under, broker, 3);
  codes = [0, QUOTA_EXCEEDED];
  const outcomes = await outcomesOf(under.sink, numberedItems(1, 50), LIVE);
  assert.deepEqual(outcomes.map(({ kind }) => kind), ["delivered", "retry"]);
  // Four were under way together; where both answers came at once, the first may have let one more go.
  assert.deepEqual(sentTo(broker).slice(0, 4), [1, 2, 3, 4]);
  assert.ok(sentTo(broker).length <= 5, `${sentTo(broker)}`);
});

Deno.test("MqttSink.deliver() tells each acknowledgement as it comes, and asks before each further item", async () => {
  await using broker = await FakeMqttBroker.start({ [PUBLISH]: () => [] });
  await using under = openSink(broker.url);
  let mayGoOn = true;
  const outcomes = under.sink.deliver(numberedItems(1, 50), LIVE, () => mayGoOn);
  const acknowledge = async (at: number) => {
    await until(() => broker.of(PUBLISH).length > at, "it is under way");
    await broker.send([0x40, 2, ...publishedIdOf(broker.of(PUBLISH)[at] as MqttPacket)]);
  };
  for (const at of [0, 1]) {
    const next = outcomes[Symbol.asyncIterator]().next();
    await acknowledge(at);
    assert.deepEqual(await next, { done: false, value: DELIVERED });
  }
  mayGoOn = false;
  const rest = Array.fromAsync(outcomes);
  await acknowledge(2);
  assert.deepEqual(await rest, [DELIVERED]);
  assert.deepEqual(sentTo(broker), [1, 2, 3]);
});

Deno.test("MqttSink.deliver() has one item at a time under way at a broker that takes long for each", async () => {
  const clock = new FakeClock();
  await using broker = await FakeMqttBroker.start({ [PUBLISH]: () => [] });
  await using under = openSink(broker.url, 1, withRealPings(clock));
  const delivery = outcomesOf(under.sink, numberedItems(1, 4), LIVE);
  for (let answered = 0; answered < 4; answered++) {
    await until(() => broker.of(PUBLISH).length > answered, "the next is under way");
    await clock.advance(1_000);
    assert.equal(broker.of(PUBLISH).length, answered + 1);
    await broker.send([0x40, 2, ...publishedIdOf(broker.of(PUBLISH)[answered] as MqttPacket)]);
  }
  assert.deepEqual(await delivery, Array.from({ length: 4 }, () => DELIVERED));
});

Deno.test("MqttSink.deliver() says that the broker takes no such QoS", async () => {
  const MAXIMUM_QOS = 36;
  await using broker = await FakeMqttBroker.start({ [CONNECT]: () => [0x20, 5, 0, 0, 2, MAXIMUM_QOS, 0] });
  await using under = openSink(broker.url, 1);
  assert.deepEqual(await outcomesOf(under.sink, [numberedItem(1)], LIVE), [
    { kind: "retry", reason: "the broker takes messages up to QoS 0 only" },
  ]);
});

Deno.test("MqttSink.deliver() gives each packet 10 s for its own acknowledgement, and takes a new connection", async () => {
  const clock = new FakeClock();
  let isSilent = false;
  await using broker = await FakeMqttBroker.start({
    [PUBLISH]: (packet) => isSilent ? [] : [0x40, 2, ...publishedIdOf(packet)],
  });
  await using under = openSink(broker.url, 1, withRealPings(clock));
  await warmUp(under, broker, 3);
  isSilent = true;
  const outcomes = under.sink.deliver(numberedItems(1, 3), LIVE, () => true);
  const first = outcomes.next();
  await until(() => broker.of(PUBLISH).length === 3, "all are sent");
  await clock.advance(7_000);
  // Those of others do not make up for its own.
  for (const at of [2, 0]) {
    await broker.send([0x40, 2, ...publishedIdOf(broker.of(PUBLISH)[at] as MqttPacket)]);
  }
  assert.deepEqual((await first).value, DELIVERED);
  const second = outcomes.next();
  let isOver = false;
  void second.then(() => isOver = true);
  await clock.advance(2_999);
  assert.equal(isOver, false);
  await clock.advance(1);
  assert.deepEqual((await second).value, {
    kind: "retry",
    reason: "no acknowledgement from the broker within 10 s",
  });
  await outcomes.return(undefined);
  await clock.advance(30_000);
  await until(() => broker.connectionsMade === 2, "the sink has connected again");
  const told = under.log.lines.filter((line) => line.includes("is lost"));
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /the agent closed the connection: no acknowledgement within 10 s/);
});

Deno.test("MqttSink.deliver() waits 10 s for a connection, then says why there is none", async () => {
  const clock = new FakeClock();
  await using broker = await FakeMqttBroker.start({ [CONNECT]: () => [0x20, 3, 0, 0x86, 0] });
  await using under = openSink(broker.url, 1, clock);
  await until(() => under.log.lines.length > 0, "the refusal is known");
  const delivery = outcomesOf(under.sink, [numberedItem(1)], LIVE);
  await clock.advance(10_000);
  assert.deepEqual(await delivery, [{
    kind: "retry",
    reason: "not connected to the broker: the broker refuses the user name or password",
  }]);
});
