/** Each way to run two agents on one MQTT broker, with the commands of docs/high-availability.md; one of them is killed. */

import assert from "node:assert/strict";
import { type Mosquitto, startMosquitto } from "../../scripts/services/mosquitto.ts";
import { ConsumerSite, eventMessage } from "../support/consumer_site.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

interface Pair extends AsyncDisposable {
  site: ConsumerSite;
  broker: Mosquitto;
  /** In place of `broker:1883` in the commands. */
  host: string;
  publish(topic: string, from: number, to: number): Promise<void>;
}

async function pair(): Promise<Pair> {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await startMosquitto());
  const site = stack.use(await ConsumerSite.start());
  const peer = stack.use(await MqttPeer.connect(broker.url("plain")));
  return {
    site,
    broker,
    host: `127.0.0.1:${broker.port("plain")}`,
    async publish(topic, from, to) {
      for (let n = from; n < to; n++) await peer.publish(topic, eventMessage(n));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function beatsOf({ ilert }: ConsumerSite): number {
  return ilert.requests.filter(({ path }) => path === "/api/heartbeats/il1hbt123").length;
}

brokerTest(
  "shared subscriptions: each event goes to one agent; what a killed one held arrives when it is back",
  {
    needs: ["mosquitto"],
  },
  async () => {
    await using all = await pair();
    const { site, host, publish } = all;
    const command = `daemon -m ${host} -e ilert/events --mqtt_shared_group ilagent --mqtt_qos 1`;
    const first = await site.agent("1", command);
    const second = await site.agent("2", command);
    await Promise.all([first.isReady(), second.isReady()]);
    await publish("ilert/events", 0, 100);
    await site.allArrived(100);
    assert.equal(site.ilert.duplicates, 0);
    const received = 'ilagent_messages_received_total{source="mqtt"}';
    assert.ok(await first.figure(received) > 0 && await second.figure(received) > 0);
    await first.process.kill();
    await publish("ilert/events", 100, 200);
    // A broker may keep a share for the one that is away; nothing else is held back.
    await (await site.agent("1", command)).isReady();
    await site.allArrived(200);
    assert.deepEqual(site.ilert.orderViolations, []);
  },
);

brokerTest(
  "shared subscriptions: an agent that ends gives back what it has not sent; nothing is lost and nothing doubled",
  {
    needs: ["mosquitto"],
  },
  async () => {
    await using all = await pair();
    const { site, host, publish } = all;
    const command = `daemon -m ${host} -e ilert/events --mqtt_shared_group ilagent --mqtt_qos 1`;
    const first = await site.agent("1", command);
    const second = await site.agent("2", command);
    await Promise.all([first.isReady(), second.isReady()]);
    await site.ilert.goDown();
    await publish("ilert/events", 0, 50);
    assert.equal(await first.process.stop(), 0);
    await site.ilert.comeBack();
    await (await site.agent("1", command)).isReady();
    await site.allArrived(50);
    assert.equal(site.ilert.duplicates, 0);
  },
);

brokerTest("active-passive: the standby with the same name goes on where the killed agent was", {
  needs: ["mosquitto"],
}, async () => {
  await using all = await pair();
  const { site, host, publish } = all;
  const command = `daemon -m ${host} -e ilert/events -n ilagent -b il1hbt123 --mqtt_qos 1 --mqtt_buffer`;
  const active = await site.agent("active", command);
  await active.isReady();
  await site.ilert.waitFor(() => beatsOf(site) > 0);
  await publish("ilert/events", 0, 50);
  await site.allArrived(50);
  await active.process.kill();
  await publish("ilert/events", 50, 100);
  const beats = beatsOf(site);
  await (await site.agent("standby", command)).isReady();
  await site.allArrived(100);
  await site.ilert.waitFor(() => beatsOf(site) > beats);
  assert.deepEqual(site.ilert.orderViolations, []);
});

brokerTest(
  "active-passive: what the killed agent had stored arrives when it is started again in its folder",
  {
    needs: ["mosquitto"],
  },
  async () => {
    await using all = await pair();
    const { site, host, publish } = all;
    const command = `daemon -m ${host} -e ilert/events -b il1hbt123 --mqtt_qos 1 --mqtt_buffer`;
    const active = await site.agent("active", command);
    await active.isReady();
    await site.ilert.goDown();
    await publish("ilert/events", 0, 50);
    const stored = 'ilagent_messages_settled_total{source="mqtt",outcome="stored"}';
    await until(async () => await active.figure(stored) === 50, "all are stored");
    await active.process.kill();
    await site.ilert.comeBack();
    assert.equal(site.arrived, 0);
    await (await site.agent("active", command)).isReady();
    await site.allArrived(50);
    assert.deepEqual(await site.audit("active"), {
      ...{ accepted: 50, delivered: 50, purged: 0, queued: 0, dead: 0, unaccounted: 0, holds: true },
    });
  },
);

brokerTest(
  "active-active: both agents send every event, ilert makes one alert of it, and a kill leaves no gap",
  {
    needs: ["mosquitto"],
  },
  async () => {
    await using all = await pair();
    const { site, host, publish } = all;
    const command = `daemon -m ${host} -e ilert/events --mqtt_qos 1`;
    const first = await site.agent("1", command);
    const second = await site.agent("2", command);
    await Promise.all([first.isReady(), second.isReady()]);
    await publish("ilert/events", 0, 50);
    await site.ilert.waitFor(({ acceptedCount }) => acceptedCount === 100);
    assert.equal(site.ilert.alerts.length, 50);
    await first.process.kill();
    await publish("ilert/events", 50, 100);
    await site.allArrived(100);
    assert.equal(site.ilert.alerts.length, 100);
  },
);

brokerTest("topic partitioning: a killed agent holds up its own site only, and catches up when it is back", {
  needs: ["mosquitto"],
}, async () => {
  await using all = await pair();
  const { site, host, publish } = all;
  const siteA = await site.agent("a", `daemon -m ${host} -e site-a/events`);
  const siteB = await site.agent("b", `daemon -m ${host} -e site-b/events`);
  await Promise.all([siteA.isReady(), siteB.isReady()]);
  await siteA.process.kill();
  await publish("site-a/events", 0, 20);
  await publish("site-b/events", 20, 40);
  await site.allArrived(20);
  assert.ok(site.ilert.accepted.every(({ event }) => Number(event.summary?.slice("Alert ".length)) >= 20));
  await (await site.agent("a", `daemon -m ${host} -e site-a/events`)).isReady();
  await site.allArrived(40);
  assert.equal(site.ilert.duplicates, 0);
});
