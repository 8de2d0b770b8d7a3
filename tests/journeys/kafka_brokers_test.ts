/** Kafka's brokers and the rights of the built agent: those to begin with tell of others, at the start and later. */

import assert from "node:assert/strict";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import { AgentProcess } from "../support/agent_process.ts";
import { ConsumerSite, eventMessage } from "../support/consumer_site.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { brokerTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const KAFKA = { needs: ["kafka"] } as const;

/** In place of a DNS name in front of the brokers: what it leads to advertises another address. */
async function open() {
  await using stack = new AsyncDisposableStack();
  const kafka = stack.use(await sharedKafka());
  const [, port] = kafka.address("PLAINTEXT").split(":");
  const front = stack.use(await NetworkProxy.start(Number(port)));
  const site = stack.use(await ConsumerSite.start());
  const peer = stack.use(await KafkaPeer.connect(kafka.address("PLAINTEXT")));
  const topic = await peer.createTopic(2);
  const command = `daemon --kafka_brokers 127.0.0.1:${front.port} -e ${topic} ` +
    `--kafka_group_id group-${crypto.randomUUID()}`;
  const opened = stack.move();
  return { front, site, peer, topic, command, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

brokerTest("an agent may reach the brokers that those to begin with name", KAFKA, async () => {
  await using all = await open();
  const agent = await all.site.agent("agent", all.command);
  await agent.isReady();
  await all.peer.send(all.topic, [{ key: "1", value: eventMessage(1) }]);
  await all.site.allArrived(1);
  assert.equal(await agent.process.stop(), 0);
  assert.deepEqual(agent.process.lines.filter((line) => /brokers again/.test(line)), []);
});

brokerTest(
  "an agent that starts before its brokers takes events meanwhile, and starts anew with their addresses",
  KAFKA,
  async () => {
    await using all = await open();
    all.front.cut();
    const agent = await all.site.agent("agent", all.command);
    const { status, body } = await agent.ready();
    assert.equal(status, 503);
    assert.equal(body?.["component"], "kafka");
    const posted = await fetch(`${agent.process.url}/api/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: eventMessage(1),
    });
    assert.equal(posted.status, 200, await posted.text());
    await all.site.allArrived(1);
    all.front.heal();
    // Between the two runs of its worker nobody listens.
    await until(async () => (await agent.ready().catch(() => null))?.status === 204, "it is ready", 30_000);
    await all.peer.send(all.topic, [{ key: "2", value: eventMessage(2) }]);
    await all.site.allArrived(2);
    await agent.process.waitForLine(/was not there when the agent started: looking for the brokers again/);
    assert.equal(await agent.process.stop(), 0);
  },
);

Deno.test("SIGTERM ends an agent with 0 while it looks for its brokers", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using folder = new TempFolder();
  const address = `127.0.0.1:${silent.addr.port}`;
  await using agent = AgentProcess.start({
    command: "built",
    args: ["-f", folder.file("a.db3"), "daemon", "--kafka_brokers", address, "-e", "topic"],
  });
  using _connection = await silent.accept();
  assert.equal(await agent.stop(10_000), 0);
});
