/** Subscriptions, readiness and the end of an MqttSource; what it does with messages is in mqtt_messages_test.ts. */

import assert from "node:assert/strict";
import { type Mosquitto, startMosquitto } from "../../scripts/services/mosquitto.ts";
import { CONNECT, FakeMqttBroker, suback, SUBSCRIBE, UNSUBSCRIBE } from "../support/fake_mqtt_broker.ts";
import { leftFor, openAgent, openMortalAgent, STOP_TIMEOUT_MS } from "../support/mqtt_agents.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const MOSQUITTO = { needs: ["mosquitto"] } as const;
const ONLY_3_1_1 = {
  [CONNECT]: (_packet: unknown, version: number) => version === 5 ? [0x20, 2, 0, 1] : [0x20, 2, 0, 0],
};

brokerTest(
  "MqttSource shares the messages of a group with another agent, each received by one",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    const wish = { url: broker.url("plain"), topics: ["site/+/alerts"], sharedGroup: "ilagent" };
    await using one = openAgent({ ...wish, id: "one" });
    await using two = openAgent({ ...wish, id: "two" });
    await Promise.all([one.ready(), two.ready()]);
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publishMany("site/a/alerts", 200);
    await until(() => one.receiver.taken.length + two.receiver.taken.length >= 200, "all were received");
    const all = [...one.receiver.texts, ...two.receiver.texts];
    assert.equal(new Set(all).size, 200);
    assert.equal(all.length, 200);
    assert.ok(one.receiver.taken.length > 0 && two.receiver.taken.length > 0);
    assert.deepEqual(one.remembered, ["$share/ilagent/site/+/alerts"]);
  },
);

brokerTest("MqttSource subscribes with + and #, and names each message's own topic", MOSQUITTO, async () => {
  await using broker = await startMosquitto();
  await using agent = openAgent({ url: broker.url("plain"), topics: ["a/+/c", "b/#"] });
  await agent.ready();
  await using peer = await MqttPeer.connect(broker.url("plain"));
  for (const topic of ["a/1/c", "a/1/d", "b", "b/2/x", "c"]) await peer.publish(topic, topic);
  await agent.took(3);
  assert.deepEqual(agent.receiver.taken.map(({ topic }) => topic), ["a/1/c", "b", "b/2/x"]);
});

brokerTest(
  "MqttSource unsubscribes from what the session still holds and the configuration no longer names",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    const { remembered, start } = starts(broker);
    await (await start(["old", "kept"]))[Symbol.asyncDispose]();
    assert.deepEqual(remembered, ["old", "kept"]);
    await using agent = await start(["kept"]);
    assert.deepEqual(remembered, ["kept"]);
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publish("old", "old");
    await peer.publish("kept", "kept");
    await agent.took(1);
    assert.deepEqual(agent.receiver.texts, ["kept"]);
  },
);

brokerTest(
  "MqttSource gets a message once that several of its topics take, in a session that held more of them too",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    const { remembered, start } = starts(broker);
    await (await start(["site/policy/+"]))[Symbol.asyncDispose]();
    await using agent = await start(["site/#", "site/policy/+", "site/+/beat"]);
    assert.deepEqual(remembered, ["site/#"]);
    await using peer = await MqttPeer.connect(broker.url("plain"));
    for (const topic of ["site/policy/1", "site/a/beat", "site"]) await peer.publish(topic, topic);
    await agent.took(3);
    assert.deepEqual(agent.receiver.texts, ["site/policy/1", "site/a/beat", "site"]);
  },
);

brokerTest("MqttSource gets a retained message once, not again with each connection", MOSQUITTO, async () => {
  await using broker = await startMosquitto();
  await publishRetained(broker.port("plain"));
  await using mortal = await openMortalAgent(broker, {});
  await mortal.took(1);
  mortal.proxy.cut();
  await mortal.notReady();
  mortal.proxy.heal();
  await mortal.ready();
  await using peer = await MqttPeer.connect(broker.url("plain"));
  await peer.publish("alerts", "after");
  await mortal.took(2);
  assert.deepEqual(mortal.receiver.texts, ["r", "after"]);
});

/** Of one agent, which remembers what its session holds. */
function starts(broker: Mosquitto) {
  const remembered: string[] = [];
  const start = async (topics: string[]) => {
    const agent = openAgent({ url: broker.url("plain"), topics, remembered });
    await agent.ready();
    return agent;
  };
  return { remembered, start };
}

/** CONNECT of MQTT 3.1.1 without a client id, PUBLISH of "r" to "alerts" with RETAIN, DISCONNECT. */
async function publishRetained(port: number): Promise<void> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const text = (value: string) => [0, value.length, ...new TextEncoder().encode(value)];
  await connection.write(Uint8Array.of(0x10, 12, ...text("MQTT"), 4, 2, 0, 0, 0, 0));
  await connection.read(new Uint8Array(4));
  await connection.write(
    Uint8Array.of(0x31, 9, ...text("alerts"), ...new TextEncoder().encode("r"), 0xe0, 0),
  );
  await connection.read(new Uint8Array(1));
}

brokerTest(
  "MqttSource.stop() waits for what is in hand, acknowledges it and leaves the session",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using agent = openAgent({ url: broker.url("plain"), mode: "holding" });
    await agent.ready();
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publishMany("alerts", 3);
    await agent.took(3);
    const stopped = agent.source.stop(STOP_TIMEOUT_MS);
    agent.receiver.settleAll();
    await stopped;
    await peer.publish("alerts", "later");
    assert.deepEqual(await leftFor(broker, { remembered: agent.remembered }), ["later"]);
  },
);

brokerTest(
  "MqttSource.stop() gives up at its time-out; what was not settled stays at the broker",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using agent = openAgent({ url: broker.url("plain"), mode: "holding" });
    await agent.ready();
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publishMany("alerts", 3);
    await agent.took(3);
    agent.receiver.taken[0]?.settle();
    await agent.source.stop(1);
    assert.deepEqual(await leftFor(broker, { remembered: agent.remembered }), ["1", "2"]);
  },
);

brokerTest(
  "MqttSource ends a mutual eviction of two agents of one name, and explains it",
  MOSQUITTO,
  async () => {
    await using broker = await startMosquitto();
    await using first = openAgent({ url: broker.url("plain"), id: "twin" });
    await first.ready();
    await using second = openAgent({ url: broker.url("plain"), id: "twin" });
    const explained = /keeps closing the connection; another client may use the client id twin/;
    const both = [first, second];
    await until(
      () => both.some(({ source }) => explained.test(source.readiness?.error ?? "")),
      "one gives way",
    );
    await until(() => both.some(({ source }) => source.readiness === null), "the other has the session");
    const lines = both.flatMap(({ log }) => log.lines).filter((line) =>
      /when another client connects as/.test(line)
    );
    assert.match(
      lines[0] ?? "",
      /give each agent that runs a name of its own with --mqtt_name.*"clientId":"twin"/,
    );
  },
);

brokerTest("MqttSource.readiness follows the broker's absence and return", MOSQUITTO, async () => {
  await using broker = await startMosquitto();
  await using agent = openAgent({ url: broker.url("plain") });
  await agent.ready();
  await broker.kill();
  await agent.notReady();
  assert.equal(agent.source.readiness?.connected, false);
  await broker.restart();
  await agent.ready();
});

Deno.test("MqttSource.readiness says that no broker is there, before the first connection too", async () => {
  await using agent = openAgent({ url: "mqtt://127.0.0.1:1" });
  assert.deepEqual(agent.source.readiness, {
    component: "mqtt",
    connected: false,
    subscriptions_ready: false,
    error: "connecting",
  });
  await until(() => /connection refused/.test(agent.source.readiness?.error ?? ""), "the refusal shows");
});

Deno.test("MqttSource.readiness fails where the broker announces no shared subscriptions", async () => {
  const SHARED_SUBSCRIPTION_AVAILABLE = 42;
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: () => [0x20, 5, 0, 0, 2, SHARED_SUBSCRIPTION_AVAILABLE, 0],
  });
  await using agent = openAgent({ url: broker.url, sharedGroup: "g" });
  await until(() => /no shared subscriptions/.test(agent.source.readiness?.error ?? ""), "the reason shows");
  assert.equal(agent.source.readiness?.connected, true);
  assert.equal(agent.source.readiness?.subscriptions_ready, false);
  assert.equal(broker.of(SUBSCRIBE).length, 0);
});

Deno.test("MqttSource.readiness fails with a shared group at a broker of MQTT 3.1.1, which may take it for a plain topic", async () => {
  await using broker = await FakeMqttBroker.start(ONLY_3_1_1);
  await using agent = openAgent({ url: broker.url, sharedGroup: "g" });
  await until(() => /only MQTT 3\.1\.1/.test(agent.source.readiness?.error ?? ""), "the reason shows");
  assert.equal(broker.of(SUBSCRIBE).length, 1);
});

Deno.test("MqttSource subscribes again after a refusal, and says meanwhile which topic was refused and why", async () => {
  const NOT_AUTHORIZED = 0x87;
  await using broker = await FakeMqttBroker.start({
    [SUBSCRIBE]: (packet, version) =>
      suback(packet, version, broker.of(SUBSCRIBE).length === 1 ? NOT_AUTHORIZED : 1),
  });
  await using agent = openAgent({ url: broker.url });
  const refused = "subscription to alerts refused: not authorized";
  await until(() => agent.source.readiness?.error === refused, "the reason shows");
  assert.equal(agent.source.readiness?.connected, true);
  await agent.ready();
  assert.equal(agent.log.lines.filter((line) => line.startsWith("error")).length, 1);
});

Deno.test("MqttSource subscribes to the topics within a refused one meanwhile, and to it alone once it is granted", async () => {
  const NOT_AUTHORIZED = 0x87;
  await using broker = await FakeMqttBroker.start({
    [SUBSCRIBE]: (packet, version) =>
      suback(packet, version, broker.of(SUBSCRIBE).length === 1 ? NOT_AUTHORIZED : 1),
  });
  await using agent = openAgent({ url: broker.url, topics: ["site/#", "site/a"] });
  const refused = "subscription to site/# refused: not authorized";
  await until(() => agent.source.readiness?.error === refused, "the reason shows");
  assert.deepEqual([agent.remembered, broker.of(SUBSCRIBE).length], [["site/#", "site/a"], 2]);
  assert.equal(broker.of(UNSUBSCRIBE).length, 0);
  await agent.ready();
  assert.deepEqual([agent.remembered, broker.of(SUBSCRIBE).length], [["site/#"], 3]);
  assert.equal(broker.of(UNSUBSCRIBE).length, 1);
});

Deno.test("MqttSource warns where the broker grants less than the QoS asked for", async () => {
  await using broker = await FakeMqttBroker.start({
    [SUBSCRIBE]: (packet, version) => suback(packet, version, 0),
  });
  await using agent = openAgent({ url: broker.url });
  await agent.ready();
  assert.match(agent.log.lines.join("\n"), /warn The broker grants \{filter\} only with QoS .*"qos":0/);
});

Deno.test("MqttSource is not ready while the list of its topics cannot be stored, and tries again", async () => {
  await using broker = await FakeMqttBroker.start();
  const remembered: string[] = [];
  const splice = remembered.splice;
  let failures = 0;
  remembered.splice = () => {
    failures++;
    throw new Error("disk full");
  };
  await using agent = openAgent({ url: broker.url, remembered });
  await until(
    () => /cannot be stored: disk full/.test(agent.source.readiness?.error ?? ""),
    "the reason shows",
  );
  assert.equal(broker.of(SUBSCRIBE).length, 0, "nothing that would be forgotten");
  remembered.splice = splice;
  await agent.ready();
  assert.equal(failures, 1);
});
