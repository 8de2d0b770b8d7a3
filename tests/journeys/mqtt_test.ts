/** Messages of a real MQTT broker on their way through the built agent, and what may go wrong there. */

import assert from "node:assert/strict";
import { type Mosquitto, startMosquitto } from "../../scripts/services/mosquitto.ts";
import { ConsumerSite, eventMessage, type SiteAgent } from "../support/consumer_site.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { createRustDatabase } from "../support/rust_database.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

/** Fewer than a broker may have under way to an agent. */
const EVENTS = 200;
const NEEDS = { needs: ["mosquitto"] } as const;
const SETTLED = (outcome: string) => `ilagent_messages_settled_total{source="mqtt",outcome="${outcome}"}`;
const IN_FLIGHT = 'ilagent_messages_in_flight{source="mqtt"}';
const RECEIVED = 'ilagent_messages_received_total{source="mqtt"}';

interface Setting extends AsyncDisposable {
  site: ConsumerSite;
  broker: Mosquitto;
  /** With what it needs to find the broker. */
  agent(flags: string): Promise<SiteAgent>;
  publish(topic: string, message: string, qos?: 1 | 2): Promise<void>;
  publishEvents(from: number, to: number, qos?: 1 | 2): Promise<void>;
}

async function setting(): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await startMosquitto());
  const site = stack.use(await ConsumerSite.start());
  const publish = async (topic: string, message: string, qos: 1 | 2 = 1) => {
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.publish(topic, message, qos);
  };
  return {
    site,
    broker,
    publish,
    agent: (flags) => site.agent("agent", `daemon -m 127.0.0.1:${broker.port("plain")} ${flags}`),
    async publishEvents(from, to, qos = 1) {
      await using peer = await MqttPeer.connect(broker.url("plain"));
      await Promise.all(
        Array.from(
          { length: to - from },
          (_, i) => peer.publish("events", eventMessage(from + i, i % 7), qos),
        ),
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

for (const [mode, flags] of [["direct", "-e events"], ["buffered", "-e events --mqtt_buffer"]] as const) {
  brokerTest(
    `MQTT ${mode}: an outage of ilert delays events, loses none and keeps their order`,
    NEEDS,
    async () => {
      await using all = await setting();
      const agent = await all.agent(flags);
      await agent.isReady();
      await all.site.ilert.goDown();
      await all.publishEvents(0, EVENTS);
      await agent.process.waitForLine(/ilert does not take events/);
      await until(async () => await agent.figure(RECEIVED) === EVENTS, "all are received");
      const inFlight = mode === "direct" ? EVENTS : 0;
      await until(async () => await agent.figure(IN_FLIGHT) === inFlight, `${inFlight} are in flight`);
      await all.site.ilert.comeBack();
      await all.site.allArrived(EVENTS);
      await until(async () => await agent.figure(IN_FLIGHT) === 0, "all are settled");
      assert.equal(await agent.figure(SETTLED(mode === "direct" ? "delivered" : "stored")), EVENTS);
      assert.deepEqual([all.site.ilert.orderViolations, all.site.ilert.duplicates], [[], 0]);
      assert.equal((await all.site.audit("agent")).accepted, mode === "direct" ? 0 : EVENTS);
    },
  );

  brokerTest(
    `MQTT ${mode}: a SIGKILL in the middle loses nothing; only what was on its way may come twice`,
    NEEDS,
    async () => {
      await using all = await setting();
      const agent = await all.agent(`${flags} --delivery_concurrency 8`);
      await agent.isReady();
      all.site.ilert.inject({ kind: "delay", ms: 20 });
      await all.publishEvents(0, 300);
      await all.site.allArrived(50);
      await agent.process.kill();
      all.site.ilert.clearFaults();
      await (await all.agent(flags)).isReady();
      await all.site.allArrived(300);
      // Direct: acknowledgements go out in order, so some that ilert has taken wait behind one that it has not.
      const inFlightMax = mode === "direct" ? 100 : 8;
      assert.ok(all.site.ilert.duplicates <= inFlightMax, `${all.site.ilert.duplicates} came twice`);
      assert.deepEqual(all.site.ilert.orderViolations, []);
    },
  );

  brokerTest(`MQTT ${mode}: QoS 2 delivers each event once, through an outage of ilert`, NEEDS, async () => {
    await using all = await setting();
    const agent = await all.agent(`${flags} --mqtt_qos 2`);
    await agent.isReady();
    await all.site.ilert.goDown();
    await all.publishEvents(0, 50, 2);
    await agent.process.waitForLine(/ilert does not take events/);
    await all.site.ilert.comeBack();
    await all.site.allArrived(50);
    assert.deepEqual([all.site.ilert.orderViolations, all.site.ilert.duplicates], [[], 0]);
  });

  brokerTest(`MQTT ${mode}: poison messages are dead letters once, and hold up nothing`, NEEDS, async () => {
    await using all = await setting();
    const agent = await all.agent(flags);
    await agent.isReady();
    const poison = ["", "no json", "[]", '{"summary":"no key"}', '{"integrationKey":""}', "\u0000\u0001"];
    for (const message of poison) await all.publish("events", message);
    await all.publish("events", eventMessage(1));
    await all.site.allArrived(1);
    await until(async () => await agent.figure(SETTLED("dead_letter")) === poison.length, "all are dead");
    assert.equal(await agent.process.stop(), 0);
    const again = await all.agent(flags);
    await again.isReady();
    await all.publish("events", eventMessage(2));
    await all.site.allArrived(2);
    assert.equal(await again.figure(SETTLED("dead_letter")), 0);
    const letters = JSON.parse((await all.site.run("agent", "deadletter list --json")).stdout);
    assert.equal(letters.length, poison.length);
    assert.ok(
      letters.every(({ topic, source }: Record<string, string>) => topic === "events" && source === "mqtt"),
    );
    assert.equal((await all.site.audit("agent")).holds, true);
  });
}

brokerTest(
  "MQTT: an event that ilert refuses is a dead letter, and is sent when it is retried",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent("-e events");
    await agent.isReady();
    const refusal = all.site.ilert.inject({ kind: "status", status: 404 });
    await all.publish("events", eventMessage(1));
    await agent.process.waitForLine(/is a dead letter/);
    refusal.remove();
    await until(async () => (await all.site.audit("agent")).dead === 1, "it is on disk");
    assert.equal((await all.site.run("agent", "deadletter retry --all")).code, 0);
    await all.site.allArrived(1);
    assert.equal(all.site.ilert.accepted[0]?.path, "/api/v1/events/mqtt/il1api-consumer");
    await until(async () => (await all.site.audit("agent")).delivered === 1, "it is counted");
  },
);

brokerTest("MQTT: a dead message that is retried is mapped anew by the running agent", NEEDS, async () => {
  await using all = await setting();
  const agent = await all.agent("-e events");
  await agent.isReady();
  await all.publish("events", '{"summary":"keyless"}');
  await until(async () => (await all.site.audit("agent")).dead === 1, "it is a dead letter");
  assert.equal(await agent.process.stop(), 0);
  const changed = await all.agent("-e events --event_key il1api-given");
  await changed.isReady();
  assert.match((await all.site.run("agent", "deadletter retry --all")).stdout, /^1 /);
  await all.site.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  assert.equal(all.site.ilert.accepted[0]?.event.integrationKey, "il1api-given");
  await until(async () => (await all.site.audit("agent")).delivered === 1, "it is counted");
});

brokerTest(
  "MQTT: heartbeats and policy updates by topic; an update that ilert does not take holds up no event",
  NEEDS,
  async () => {
    await using all = await setting();
    const { ilert } = all.site;
    ilert.addUser({ id: 7, email: "a@b.c" });
    ilert.addPolicy({
      ...{ id: 3, routingKey: "ops" },
      escalationRules: [{ escalationTimeout: 1, users: [] }, { escalationTimeout: 15, users: [] }],
    });
    const agent = await all.agent("-e events -r beats/+ --policy_topic policies --policy_routing_keys team");
    await agent.isReady();
    const trouble = ilert.inject({ kind: "status", status: 503, on: "policy" });
    await all.publish("policies", '{"team":"ops","data":{"email":"a@b.c","shift":"1"}}');
    await all.publish("beats/x", '{"apiKey":"il1hbt-x"}');
    await all.publishEvents(0, 20);
    await all.site.allArrived(20);
    await ilert.waitFor(({ requests }) => requests.some(({ path }) => path === "/api/heartbeats/il1hbt-x"));
    // Not held at the broker for ever: it is in the file, and goes on from there.
    await until(async () => (await all.site.audit("agent")).queued === 1, "the update is kept", 20_000);
    trouble.remove();
    await ilert.waitFor(({ policies }) => policies[0]?.escalationRules[1]?.users[0]?.id === 7, {
      timeoutMs: 30_000,
    });
    assert.equal(ilert.policies[0]?.escalationRules[1]?.escalationTimeout, 15);
    await until(async () => (await all.site.audit("agent")).delivered === 1, "it is settled");
    await all.publish("policies", '{"team":"ops","data":{"email":"nobody@b.c"}}');
    await until(async () => (await all.site.audit("agent")).dead === 1, "an unknown user is a dead letter");
  },
);

brokerTest(
  "MQTT: /ready says that the broker is gone, and that it is back; what came meanwhile arrives",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent("-e events");
    await agent.isReady();
    await all.broker.stop();
    await until(async () => (await agent.ready()).status === 503, "it is not ready", 10_000);
    const { body } = await agent.ready();
    assert.deepEqual([body?.component, body?.connected, typeof body?.error], ["mqtt", false, "string"]);
    await all.broker.restart();
    await all.publishEvents(0, 20);
    await agent.isReady();
    await all.site.allArrived(20);
  },
);

brokerTest("MQTT: a queue that is full holds messages back at the broker and loses none", NEEDS, async () => {
  await using all = await setting();
  const agent = await all.agent("-e events --mqtt_buffer --queue_max_events 50");
  await agent.isReady();
  await all.site.ilert.goDown();
  await all.publishEvents(0, 200);
  await until(async () => await agent.figure(RECEIVED) === 200, "all are received");
  await until(async () => (await all.site.audit("agent")).queued === 50, "it holds what it may");
  const { status, body } = await agent.ready();
  assert.deepEqual([status, body?.component], [503, "daemon"]);
  await all.site.ilert.comeBack();
  await all.site.allArrived(200);
  assert.deepEqual([all.site.ilert.orderViolations, all.site.ilert.duplicates], [[], 0]);
  await agent.isReady();
});

brokerTest(
  "MQTT: the buffer of the Rust agent is delivered through the mapping, and before what is new",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent("-e events");
    await agent.isReady();
    assert.equal(await agent.process.stop(), 0);
    for (const suffix of ["", "-wal", "-shm"]) {
      await Deno.remove(`${agent.folder}/ilagent.db3${suffix}`).catch(() => {});
    }
    {
      using db = createRustDatabase(`${agent.folder}/ilagent.db3`);
      const insert = db.prepare("INSERT INTO mqtt_queue (id, topic, payload) VALUES (?, 'events', ?)");
      for (let n = 0; n < 100; n++) insert.run(crypto.randomUUID(), eventMessage(n, 0));
    }
    const alone = await all.site.agent("agent", "daemon");
    await alone.process.waitForLine(/100 messages of a broker are in the queue and stay there/);
    assert.deepEqual([(await all.site.audit("agent")).queued, all.site.arrived], [100, 0]);
    assert.equal(await alone.process.stop(), 0);
    await (await all.agent("-e events --mqtt_buffer")).isReady();
    await all.publish("events", eventMessage(100, 0));
    await all.site.allArrived(101);
    assert.deepEqual([all.site.ilert.orderViolations, all.site.ilert.duplicates], [[], 0]);
    await until(async () => (await all.site.audit("agent")).delivered === 101, "the ledger has them all");
  },
);

brokerTest(
  "MQTT: with --heartbeat_requires_ready no heartbeat leaves while the broker is out of reach",
  NEEDS,
  async () => {
    await using all = await setting();
    await all.broker.stop();
    const agent = await all.agent("-e events -b il1hbt-own --heartbeat_requires_ready");
    await agent.process.waitForLine(/No heartbeat: the agent is not ready/);
    assert.equal((await agent.ready()).body?.component, "mqtt");
    assert.deepEqual(all.site.ilert.requests, []);
  },
);
