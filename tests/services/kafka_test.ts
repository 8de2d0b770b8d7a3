import assert from "node:assert/strict";
import { startKafka } from "../../scripts/services/kafka.ts";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import { KafkaPeer, type KafkaPeerOptions } from "../support/kafka_peer.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { brokerTest } from "../support/services.ts";

const NEEDS = { needs: ["kafka"] } as const;
const MECHANISMS = ["plain", "scram-sha-256", "scram-sha-512"] as const;

brokerTest(
  "sharedKafka() delivers on each listener by each mechanism, and refuses a wrong password",
  NEEDS,
  async () => {
    await using kafka = await sharedKafka();
    const { caFile } = kafka;
    const [[name = "", password = ""] = []] = Object.entries(kafka.users);

    await assertDelivers(kafka.address("PLAINTEXT"));
    await assertDelivers(kafka.address("SSL"), { caFile });
    for (const mechanism of MECHANISMS) {
      await assertDelivers(kafka.address("SASL_PLAINTEXT"), { user: { name, password, mechanism } });
      await assertDelivers(kafka.address("SASL_SSL"), { caFile, user: { name, password, mechanism } });
      const wrong = { user: { name, password: "wrong", mechanism } };
      await assert.rejects(KafkaPeer.connect(kafka.address("SASL_PLAINTEXT"), wrong), /[Aa]uthentication/);
    }
  },
);

brokerTest(
  "Kafka comes back after a kill with what it had, behind the proxy it advertises",
  NEEDS,
  async () => {
    await using proxy = await NetworkProxy.start();
    await using kafka = await startKafka({ advertisedPorts: { PLAINTEXT: proxy.port } });
    proxy.forwardTo(kafka.port("PLAINTEXT"));
    await using peer = await KafkaPeer.connect(kafka.address("PLAINTEXT"));
    const topic = await peer.createTopic(1);
    await peer.send(topic, [{ key: "k", value: "before" }]);

    await kafka.kill();
    await kafka.restart();
    await peer.send(topic, [{ key: "k", value: "after" }]);

    const messages = await peer.received(topic, 2);
    assert.deepEqual(messages.map(({ value }) => value), ["before", "after"]);
  },
);

brokerTest("startKafka() says with the broker's own words why it did not start", NEEDS, async () => {
  await assert.rejects(startKafka({ properties: { "num.io.threads": "none" } }), /num\.io\.threads/);
});

async function assertDelivers(address: string, options: KafkaPeerOptions = {}): Promise<void> {
  await using peer = await KafkaPeer.connect(address, options);
  const topic = await peer.createTopic(2);
  await peer.send(topic, [{ key: "k", value: address, partition: 1 }]);
  const messages = await peer.received(topic, 1);
  assert.deepEqual(messages, [{ partition: 1, offset: 0, key: "k", value: address }]);
}
