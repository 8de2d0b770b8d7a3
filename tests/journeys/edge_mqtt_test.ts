/** The edge connector with a real MQTT broker as its target. */

import assert from "node:assert/strict";
import { Certificates } from "../../scripts/services/certificates.ts";
import { startMosquitto } from "../../scripts/services/mosquitto.ts";
import { AgentProcess, freePort } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const NEEDS = { needs: ["mosquitto"] } as const;
const KEY = "iec1-journey-key-0002";

async function start(ilert: IlertEmulator, folder: TempFolder, flags: string): Promise<AgentProcess> {
  const agent = AgentProcess.start({
    command: "built",
    args: [
      "daemon",
      "-p",
      `${await freePort()}`,
      "--host",
      "127.0.0.1",
      "--edge_mode",
      "mqtt",
      ...flags.split(" "),
    ],
    cwd: folder.path,
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: KEY },
  });
  await agent.ready();
  return agent;
}

function payloads(first: number, count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, at) => edgePayload(first + at, at % 7));
}

async function errorOf(agent: AgentProcess): Promise<string | null> {
  const response = await fetch(`${agent.url}/ready`);
  const text = await response.text();
  return response.status === 204 ? null : String(JSON.parse(text).error);
}

brokerTest(
  "edge to MQTT: the page's flags deliver every payload in order, over mutual TLS too",
  NEEDS,
  async () => {
    await using made = await Certificates.create();
    await using broker = await startMosquitto({
      listeners: { plain: {}, mutual: { tls: "mutual" } },
      certificates: made,
    });
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.subscribe("edge/events", 2);
    const expected = payloads(1, 150).map((payload) => JSON.stringify(payload));
    const tls = `--mqtt_tls --mqtt_ca ${made.caFile} --mqtt_client_cert ${made.client.certFile} ` +
      `--mqtt_client_key ${made.client.keyFile}`;
    const ways = [`-m localhost -q ${broker.port("plain")}`, `-m localhost:${broker.port("mutual")} ${tls}`];
    for (const [at, way] of ways.entries()) {
      await using ilert = await IlertEmulator.start({ edgeKey: KEY });
      using folder = new TempFolder();
      ilert.edge.add(...payloads(1, 150));
      await using agent = await start(ilert, folder, `${way} --mqtt_qos ${at + 1} --edge_topic edge/events`);
      await peer.received(150 * (at + 1));
      assert.deepEqual(peer.texts.slice(150 * at), expected);
      assert.ok(peer.messages.every(({ topic }) => topic === "edge/events"));
      assert.equal(await agent.stop(), 0);
    }
  },
);

brokerTest(
  "edge to MQTT: while the broker is away /ready says so, and the items wait in their order",
  NEEDS,
  async () => {
    await using broker = await startMosquitto();
    await using ilert = await IlertEmulator.start({ edgeKey: KEY });
    using folder = new TempFolder();
    const flags = `-m 127.0.0.1:${
      broker.port("plain")
    } --mqtt_qos 1 --edge_topic edge/events --edge_poll_interval 5`;
    await using agent = await start(ilert, folder, flags);
    await until(async () => await errorOf(agent) === null, "the agent is ready");
    await broker.stop();
    ilert.edge.add(...payloads(1, 50));
    await until(
      async () => /not connected to the broker: nothing listens there/.test(await errorOf(agent) ?? ""),
      "the reason shows",
      30_000,
    );
    await broker.restart();
    await using peer = await MqttPeer.connect(broker.url("plain"));
    await peer.subscribe("edge/events", 2);
    await peer.received(50, 60_000);
    assert.deepEqual(peer.texts, payloads(1, 50).map((payload) => JSON.stringify(payload)));
    await until(async () => await errorOf(agent) === null, "the agent is ready again");
  },
);
