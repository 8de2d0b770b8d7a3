/** The built edge connector and the messages it has produced, over TLS and SASL inside its jail. */

import assert from "node:assert/strict";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import { AgentProcess, freePort } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { NetworkProxy } from "../support/network_proxy.ts";
import { brokerTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const CONNECTOR_KEY = "iec1-kafka-journey";
const COUNT = 250;

brokerTest(
  "alert events reach Kafka over TLS with SCRAM, keyed by alert, from before its brokers are there",
  {
    needs: ["kafka"],
  },
  async () => {
    await using stack = new AsyncDisposableStack();
    const kafka = stack.use(await sharedKafka());
    const peer = stack.use(await KafkaPeer.connect(kafka.address("PLAINTEXT")));
    const ilert = stack.use(await IlertEmulator.start({ edgeKey: CONNECTOR_KEY }));
    // What it leads to advertises another address.
    const front = stack.use(await NetworkProxy.start(Number(kafka.address("SASL_SSL").split(":")[1])));
    const folder = stack.use(new TempFolder());
    const topic = await peer.createTopic(3);
    for (let n = 1; n <= COUNT; n++) ilert.edge.add(edgePayload(n, n % 10));
    front.cut();
    const agent = stack.use(AgentProcess.start({
      command: "built",
      args: [
        ...["daemon", "-vv", "-p", `${await freePort()}`, "--host", "127.0.0.1", "-f", folder.file("a.db3")],
        ...["--edge_mode", "kafka", "--edge_topic", topic, "--edge_poll_interval", "5"],
        ...["--kafka_brokers", `localhost:${front.port}`, "--kafka_tls", "--kafka_ca", kafka.caFile],
        ...["--kafka_sasl_mechanism", "scram-sha-512", "--kafka_username", "alice"],
      ],
      env: {
        ILERT_API_HOST: ilert.url,
        ILERT_HEARTBEAT_HOST: ilert.url,
        ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY,
        ILAGENT_KAFKA_PASSWORD: kafka.users["alice"] ?? "",
      },
    }));
    await agent.ready();
    await until(async () => /ECONNREFUSED/.test(await readiness(agent)), "the readiness says why", 30_000);
    front.heal();
    const messages = await peer.received(topic, COUNT, 60_000);
    for (let alert = 0; alert < 10; alert++) {
      const values = messages.filter(({ key }) => key === `${edgePayload(0, alert)["id"]}`).map(({ value }) =>
        value
      );
      const numbers = Array.from({ length: COUNT }, (_, at) => at + 1).filter((n) => n % 10 === alert);
      assert.deepEqual([...new Set(values)], numbers.map((n) => JSON.stringify(edgePayload(n, alert))));
    }
    await until(async () => await readiness(agent) === "", "it is ready", 30_000);
    assert.equal(await agent.stop(), 0);
    assert.doesNotMatch(agent.lines.join("\n"), /alice-secret/);
  },
);

async function readiness(agent: AgentProcess): Promise<string> {
  try {
    return await (await fetch(`${agent.url}/ready`)).text();
  } catch (error) {
    // Between two runs of its worker nobody listens.
    return String(error);
  }
}
