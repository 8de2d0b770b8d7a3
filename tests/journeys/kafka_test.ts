/** Messages of a real Kafka on their way through the built agent, and what may go wrong there. */

import assert from "node:assert/strict";
import { startKafka } from "../../scripts/services/kafka.ts";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import { ConsumerSite, eventMessage, type SiteAgent } from "../support/consumer_site.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const NEEDS = { needs: ["kafka"] } as const;
const PARTITIONS = 4;
const READY_MS = 40_000, ARRIVAL_MS = 60_000;
const SETTLED = (outcome: string) => `ilagent_messages_settled_total{source="kafka",outcome="${outcome}"}`;
const IN_FLIGHT = 'ilagent_messages_in_flight{source="kafka"}';

interface Setting extends AsyncDisposable {
  site: ConsumerSite;
  /** Of events; no other test has it. */
  topic: string;
  /** With what it needs to find the broker and the topic. */
  agent(flags?: string): Promise<SiteAgent>;
  send(messages: string[], topic?: string): Promise<void>;
  sendEvents(from: number, to: number): Promise<void>;
  createTopic(): Promise<string>;
}

async function setting(): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const kafka = stack.use(await sharedKafka());
  const address = kafka.address("PLAINTEXT");
  const peer = stack.use(await KafkaPeer.connect(address));
  const topic = await peer.createTopic(PARTITIONS);
  const site = stack.use(await ConsumerSite.start());
  return {
    site,
    topic,
    agent: (flags = "") =>
      site.agent(
        "agent",
        `daemon --kafka_brokers ${address} --kafka_group_id ${topic} -e ${topic} ${flags}`.trim(),
      ),
    send: (messages, to = topic) => peer.send(to, messages.map((value) => ({ value }))),
    // By lane, as a producer must that wants an order.
    sendEvents: (from, to) =>
      peer.send(
        topic,
        Array.from({ length: to - from }, (_, i) => ({
          key: `lane-${(from + i) % 7}`,
          value: eventMessage(from + i, (from + i) % 7),
        })),
      ),
    createTopic: () => peer.createTopic(),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

brokerTest(
  "a Kafka group: two agents share the partitions, and when one is killed the other takes over its own",
  {
    needs: ["kafka"],
  },
  async () => {
    await using kafka = await startKafka();
    const address = kafka.address("PLAINTEXT");
    await using peer = await KafkaPeer.connect(address);
    await peer.createTopic(PARTITIONS, {}, "events");
    await using site = await ConsumerSite.start();
    const command = `daemon --kafka_brokers ${address} --kafka_group_id ilagent -e events`;
    const first = await site.agent("1", command);
    await first.isReady(READY_MS);
    const second = await site.agent("2", command);
    await second.isReady(READY_MS);
    await first.isReady(READY_MS);
    const send = (from: number, to: number) =>
      peer.send(
        "events",
        Array.from({ length: to - from }, (_, i) => ({ key: `${from + i}`, value: eventMessage(from + i) })),
      );
    await send(0, 200);
    await site.allArrived(200, ARRIVAL_MS);
    const received = 'ilagent_messages_received_total{source="kafka"}';
    assert.ok(await first.figure(received) > 0 && await second.figure(received) > 0);
    await first.process.kill();
    await send(200, 400);
    await site.allArrived(400, ARRIVAL_MS);
    assert.deepEqual(site.ilert.orderViolations, []);
  },
);

brokerTest(
  "Kafka: an outage of ilert delays events, loses none, keeps their order and leaves the agent ready",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent();
    await agent.isReady(READY_MS);
    await all.site.ilert.goDown();
    await all.sendEvents(0, 300);
    await agent.process.waitForLine(/ilert does not take events/, ARRIVAL_MS);
    assert.equal((await agent.ready()).status, 204);
    await all.site.ilert.comeBack();
    await all.site.allArrived(300, ARRIVAL_MS);
    await until(async () => await agent.figure(IN_FLIGHT) === 0, "all are settled");
    assert.equal(await agent.figure(SETTLED("delivered")), 300);
    assert.deepEqual([all.site.ilert.orderViolations, all.site.ilert.duplicates], [[], 0]);
    assert.match(all.site.ilert.accepted[0]?.path ?? "", /^\/api\/v1\/events\/kafka\//);
  },
);

brokerTest(
  "Kafka: a SIGKILL in the middle loses nothing and keeps the order of each alert key",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent("--delivery_concurrency 8");
    await agent.isReady(READY_MS);
    all.site.ilert.inject({ kind: "delay", ms: 20 });
    await all.sendEvents(0, 300);
    await all.site.allArrived(50, ARRIVAL_MS);
    await agent.process.kill();
    all.site.ilert.clearFaults();
    await (await all.agent()).isReady(READY_MS);
    await all.site.allArrived(300, ARRIVAL_MS);
    assert.deepEqual(all.site.ilert.orderViolations, []);
  },
);

brokerTest(
  "Kafka: an agent that is stopped commits what it has sent, so that nothing comes twice",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent();
    await agent.isReady(READY_MS);
    await all.sendEvents(0, 100);
    await all.site.allArrived(100, ARRIVAL_MS);
    assert.equal(await agent.process.stop(), 0);
    await all.sendEvents(100, 120);
    await (await all.agent()).isReady(READY_MS);
    await all.site.allArrived(120, ARRIVAL_MS);
    assert.equal(all.site.ilert.duplicates, 0);
  },
);

brokerTest("Kafka: poison messages are dead letters once, and hold up nothing", NEEDS, async () => {
  await using all = await setting();
  const agent = await all.agent();
  await agent.isReady(READY_MS);
  const poison = ["", "no json", "[]", '{"summary":"no key"}', "\u0000\u0001"];
  await all.send([...poison, eventMessage(1)]);
  await all.site.allArrived(1, ARRIVAL_MS);
  await until(async () => await agent.figure(SETTLED("dead_letter")) === poison.length, "all are dead");
  assert.equal(await agent.process.stop(), 0);
  const again = await all.agent();
  await again.isReady(READY_MS);
  await all.send([eventMessage(2)]);
  await all.site.allArrived(2, ARRIVAL_MS);
  assert.equal(await again.figure(SETTLED("dead_letter")), 0);
  const audit = await all.site.audit("agent");
  assert.deepEqual([audit.dead, audit.accepted, audit.holds], [poison.length, poison.length, true]);
});

brokerTest(
  "Kafka: a dead message that is retried is mapped anew, with the topic and the key it had",
  NEEDS,
  async () => {
    await using all = await setting();
    const agent = await all.agent();
    await agent.isReady(READY_MS);
    await all.send(['{"summary":"keyless"}']);
    await until(async () => (await all.site.audit("agent")).dead === 1, "it is a dead letter", ARRIVAL_MS);
    assert.equal(await agent.process.stop(), 0);
    await (await all.agent("--event_key il1api-given")).isReady(READY_MS);
    await all.site.run("agent", "deadletter retry --all");
    await all.site.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1, { timeoutMs: ARRIVAL_MS });
    const [accepted] = all.site.ilert.accepted;
    assert.equal(accepted?.path, "/api/v1/events/kafka/il1api-given");
    assert.deepEqual(accepted?.event.customDetails, { messageKey: "", topic: all.topic });
  },
);

brokerTest("Kafka: heartbeats and policy updates by topic", NEEDS, async () => {
  await using all = await setting();
  const { ilert } = all.site;
  ilert.addUser({ id: 7, email: "a@b.c" });
  const escalationRules = [{ escalationTimeout: 5, users: [] }];
  ilert.addPolicy({ id: 3, routingKey: "ops", escalationRules });
  const [beats, policies] = [await all.createTopic(), await all.createTopic()];
  const agent = await all.agent(`-r ${beats} --policy_topic ${policies} --policy_routing_keys team`);
  await agent.isReady(READY_MS);
  await all.send(['{"apiKey":"il1hbt-x"}'], beats);
  await all.send(['{"team":"ops","data":{"email":"a@b.c"}}'], policies);
  const timeout = { timeoutMs: ARRIVAL_MS };
  await ilert.waitFor(
    ({ requests }) => requests.some(({ path }) => path === "/api/heartbeats/il1hbt-x"),
    timeout,
  );
  await ilert.waitFor(({ policies }) => policies[0]?.escalationRules[0]?.users[0]?.id === 7, timeout);
});

brokerTest(
  "Kafka: /ready says that the brokers are gone, and that they are back; what came meanwhile arrives",
  NEEDS,
  async () => {
    await using kafka = await startKafka();
    const address = kafka.address("PLAINTEXT");
    await using site = await ConsumerSite.start();
    let topic: string;
    {
      await using peer = await KafkaPeer.connect(address);
      topic = await peer.createTopic(PARTITIONS);
    }
    const agent = await site.agent("agent", `daemon --kafka_brokers ${address} -e ${topic}`);
    await agent.isReady(READY_MS);
    await kafka.kill();
    await until(async () => (await agent.ready()).status === 503, "it is not ready", 15_000);
    const { body } = await agent.ready();
    assert.deepEqual([body?.component, typeof body?.error], ["kafka", "string"]);
    await kafka.restart();
    await using peer = await KafkaPeer.connect(address);
    await peer.send(topic, Array.from({ length: 20 }, (_, n) => ({ value: eventMessage(n) })));
    await agent.isReady(READY_MS);
    await site.allArrived(20, ARRIVAL_MS);
  },
);
