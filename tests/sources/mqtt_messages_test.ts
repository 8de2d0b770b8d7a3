/** Which messages an MqttSource takes, and when the broker may forget them. */

import assert from "node:assert/strict";
import { type Mosquitto, startMosquitto } from "../../scripts/services/mosquitto.ts";
import { RECEIVE_MAX } from "../../src/clients/mqtt/connect_wish.ts";
import { HELD_MAX } from "../../src/sources/mqtt_inbox.ts";
import { CONNECT, FakeMqttBroker, PUBACK, PUBREC } from "../support/fake_mqtt_broker.ts";
import { leftFor, openAgent, openMortalAgent, STOP_TIMEOUT_MS } from "../support/mqtt_agents.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const MOSQUITTO = { needs: ["mosquitto"] } as const;

for (const qos of [1, 2] as const) {
  brokerTest(
    `MqttSource at QoS ${qos} leaves at the broker what was not settled when the process was killed`,
    MOSQUITTO,
    async () => {
      await using broker = await startMosquitto();
      const remembered: string[] = [];
      {
        await using mortal = await openMortalAgent(broker, { qos, remembered, mode: "holding" });
        await using peer = await MqttPeer.connect(broker.url("plain"));
        await peer.publishMany("alerts", 5, qos);
        await mortal.took(5);
      }
      assert.deepEqual(await leftFor(broker, { qos, remembered }), ["0", "1", "2", "3", "4"]);
      assert.deepEqual(await leftFor(broker, { qos, remembered }), []);
    },
  );

  brokerTest(
    `MqttSource at QoS ${qos} acknowledges in the order of receipt, and only up to the first unsettled message`,
    MOSQUITTO,
    async () => {
      await using broker = await startMosquitto();
      const remembered: string[] = [];
      {
        await using mortal = await openMortalAgent(broker, { qos, remembered, mode: "holding" });
        await using peer = await MqttPeer.connect(broker.url("plain"));
        await peer.publishMany("alerts", 4, qos);
        await mortal.took(4);
        for (const settled of [0, 1, 3]) mortal.receiver.taken[settled]?.settle();
        await until(() => mortal.source.inFlight === 1, "three are settled");
        await acknowledgementsArrived(broker);
      }
      assert.deepEqual(await leftFor(broker, { qos, remembered }), ["2", "3"]);
    },
  );

  brokerTest(
    `MqttSource at QoS ${qos} receives once what the broker repeats after a cut`,
    MOSQUITTO,
    async () => {
      await using broker = await startMosquitto();
      const remembered: string[] = [];
      {
        await using mortal = await openMortalAgent(broker, { qos, remembered, mode: "holding" });
        await using peer = await MqttPeer.connect(broker.url("plain"));
        await peer.publishMany("alerts", 20, qos);
        await mortal.took(20);
        mortal.proxy.cut();
        await mortal.notReady();
        for (const taken of mortal.receiver.taken.slice(0, 10)) taken.settle();
        mortal.proxy.heal();
        await mortal.ready();
        mortal.receiver.release();
        await peer.publish("alerts", "after", qos);
        await mortal.took(21);
        assert.deepEqual(mortal.receiver.texts, [...Array.from({ length: 20 }, (_, n) => `${n}`), "after"]);
        await mortal.source.stop(STOP_TIMEOUT_MS);
      }
      assert.deepEqual(await leftFor(broker, { qos, remembered }), []);
    },
  );
}

for (const qos of [0, 1, 2] as const) {
  brokerTest(
    `MqttSource at QoS ${qos} takes no more than its bound while the receiver stands still, and loses nothing`,
    MOSQUITTO,
    async () => {
      const count = 5_000;
      await using broker = await startMosquitto();
      await using agent = openAgent({ url: broker.url("plain"), qos, mode: "holding" });
      await agent.ready();
      await using peer = await MqttPeer.connect(broker.url("plain"));
      await peer.publishMany("alerts", count, qos);
      await agent.took(RECEIVE_MAX);
      await acknowledgementsArrived(broker);
      const { inFlight } = agent.source;
      // Mosquitto 2.0 exceeds RECEIVE_MAX by some.
      assert.ok(inFlight <= HELD_MAX + 1, `${inFlight} in flight`);
      assert.equal(agent.source.readiness, null);
      agent.receiver.release();
      await agent.took(count);
      assert.equal(new Set(agent.receiver.texts).size, count);
      assert.equal(agent.receiver.taken.length, count);
    },
  );
}

/** Mosquitto serves its connections in turn, so that after a few rounds with another client ours has had its own. */
async function acknowledgementsArrived(broker: Mosquitto<"plain">): Promise<void> {
  await using peer = await MqttPeer.connect(broker.url("plain"));
  for (let round = 0; round < 50; round++) await peer.publish("elsewhere", "", 1);
}

brokerTest(
  "MqttSource loses nothing when the broker restarts, and receives once what it repeats",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using agent = openAgent({ url: broker.url("plain"), mode: "holding" });
    await agent.ready();
    {
      await using peer = await MqttPeer.connect(broker.url("plain"));
      await peer.publishMany("alerts", 50);
    }
    await agent.took(50);
    await broker.stop();
    await agent.notReady();
    await broker.restart();
    await agent.ready();
    agent.receiver.release();
    await agent.source.stop(STOP_TIMEOUT_MS);
    assert.deepEqual(agent.receiver.texts, Array.from({ length: 50 }, (_, n) => `${n}`));
    assert.deepEqual(await leftFor(broker, { remembered: agent.remembered }), []);
  },
);

brokerTest(
  "MqttSource receives a message of QoS 2 once though the broker comes back without its PUBREC",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using agent = openAgent({ url: broker.url("plain"), qos: 2, mode: "holding" });
    await agent.ready();
    {
      await using peer = await MqttPeer.connect(broker.url("plain"));
      await peer.publish("alerts", "only", 2);
    }
    await agent.took(1);
    await broker.persist();
    await broker.kill();
    agent.receiver.release();
    await until(() => agent.source.inFlight === 0, "the message is settled");
    await broker.restart();
    await agent.ready();
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publish("alerts", "next", 2);
    await agent.took(2);
    assert.deepEqual(agent.receiver.texts, ["only", "next"]);
  },
);

brokerTest(
  "MqttSource takes a message with a known packet id for a new one where the broker has forgotten the session",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto({ persistence: false });
    await using agent = openAgent({ url: broker.url("plain"), mode: "holding" });
    await agent.ready();
    const publish = async (text: string) => {
      await using peer = await MqttPeer.connect(broker.url("plain"));
      await peer.publish("alerts", text);
    };
    await publish("before");
    await agent.took(1);
    await broker.kill();
    await broker.restart();
    await agent.notReady();
    await agent.ready();
    await publish("after");
    await agent.took(2);
    agent.receiver.release();
    await until(() => agent.source.inFlight === 0, "both are settled");
    assert.deepEqual(agent.receiver.texts, ["before", "after"]);
  },
);

Deno.test("MqttSource takes a repeated packet id with another payload for a new message", async () => {
  await using broker = await FakeMqttBroker.start();
  await using agent = openAgent({ url: broker.url, mode: "holding" });
  await agent.ready();
  await broker.send(publishOf(5, 7, "x"));
  await agent.took(1);
  await broker.send(publishOf(5, 7, "xy", QOS_1 | DUP));
  await broker.send(publishOf(5, 7, "xy", QOS_1 | DUP));
  await agent.took(2);
  agent.receiver.release();
  await until(() => broker.of(PUBACK).length === 1, "the id is acknowledged");
  assert.deepEqual(agent.receiver.texts, ["x", "xy"]);
});

for (const [session, texts] of [["kept", ["x"]], ["forgotten", ["x", "x"]]] as const) {
  Deno.test(`MqttSource receives a repeated message of QoS 2 ${texts.length} times where its session is ${session}`, async () => {
    const connack = (isResumed: boolean) => [0x20, 3, isResumed ? 1 : 0, 0, 0];
    await using broker = await FakeMqttBroker.start({
      [CONNECT]: () => connack(session === "kept" && broker.connectionsMade > 1),
    });
    await using agent = openAgent({ url: broker.url, qos: 2 });
    await agent.ready();
    await broker.send(publishOf(5, 7, "x", QOS_2));
    await until(() => broker.of(PUBREC).length === 1, "it is acknowledged");
    broker.disconnectAll();
    await agent.notReady();
    await agent.ready();
    await broker.send(publishOf(5, 7, "x", QOS_2 | DUP));
    await until(() => broker.of(PUBREC).length === 2, "it is acknowledged again");
    assert.deepEqual(agent.receiver.texts, texts);
  });
}

Deno.test("MqttSource at MQTT 3.1.1 bounds what it takes by not reading, answers pings meanwhile, and acknowledges all", async () => {
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: (_packet, version) => version === 5 ? [0x20, 2, 0, 1] : [0x20, 2, 0, 0],
  });
  await using agent = openAgent({ url: broker.url, mode: "holding" });
  await agent.ready();
  const count = HELD_MAX + 500;
  for (let id = 1; id <= count; id++) await broker.send(publishOf(4, id, "x"));
  await until(() => agent.source.inFlight >= HELD_MAX, "the bound is reached");
  assert.ok(agent.source.inFlight <= HELD_MAX + 1, `${agent.source.inFlight}`);
  agent.receiver.release();
  await until(() => broker.of(PUBACK).length === count, "all are acknowledged");
  assert.equal(agent.receiver.taken.length, count);
});

/** Flags of a PUBLISH. */
const DUP = 0x08, QOS_1 = 0x02, QOS_2 = 0x04;

/** PUBLISH to "alerts". */
function publishOf(version: 4 | 5, id: number, text: string, flags = QOS_1): number[] {
  const rest = [...new TextEncoder().encode("alerts"), id >> 8, id & 0xff, ...(version === 5 ? [0] : [])];
  const bytes = [0, 6, ...rest, ...new TextEncoder().encode(text)];
  return [0x30 | flags, bytes.length, ...bytes];
}
