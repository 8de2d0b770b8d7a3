/** The built agent does its work under Deno's audit of permissions: what it is granted and never uses is not to be granted. */

import assert from "node:assert/strict";
import { Certificates } from "../../scripts/services/certificates.ts";
import { startMosquitto } from "../../scripts/services/mosquitto.ts";
import { sharedKafka } from "../../scripts/services/shared_kafka.ts";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { eventMessage } from "../support/consumer_site.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { KafkaPeer } from "../support/kafka_peer.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { ScriptFolder } from "../support/script_folder.ts";
import { brokerTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";
import { WebhookTarget } from "../support/webhook_target.ts";

const MQTT = { needs: ["mosquitto"] } as const, KAFKA = { needs: ["kafka"] } as const;
const CONNECTOR_KEY = "iec1-audited-key";
const RIGHTS = ["net", "read", "write", "run"] as const;

interface Audited {
  /** Of the daemon, without the file. */
  flags: string[];
  env: Record<string, string>;
  /** One journey that takes all its rights. */
  use: (agent: AgentProcess) => Promise<void>;
}

/** `right: what` of all that the daemon is granted and has not used. */
async function unused({ flags, env, use }: Audited): Promise<string[]> {
  using folder = new TempFolder();
  const report = folder.file("audit.jsonl");
  const args = [...flags, "-f", folder.file("a.db3")];
  const { stdout } = await runAgent(["permissions", ...args, "--json"], { command: "built", env });
  const { scriptWorker, ...agents } = JSON.parse(stdout);
  const granted: Record<string, string[]> = { ...agents, run: scriptWorker?.run ?? [] };
  {
    await using agent = AgentProcess.start({
      command: "built",
      args: ["daemon", ...args],
      env: { ...env, DENO_AUDIT_PERMISSIONS: report },
    });
    if (flags.includes("-p")) await agent.ready();
    await use(agent);
    assert.equal(await agent.stop(), 0);
  }
  const checks: { permission: string; value: string | null }[] = Deno.readTextFileSync(report).trim().split(
    "\n",
  )
    .map((line) => JSON.parse(line));
  const used = new Set(checks.map(({ permission, value }) => `${permission}: ${addressOf(value)}`));
  // Which program was run is not reported.
  const runs = checks.filter(({ permission }) => permission === "run").length;
  for (const program of granted["run"]?.slice(0, runs) ?? []) used.add(`run: ${program}`);
  return RIGHTS.flatMap((right) => (granted[right] ?? []).map((what) => `${right}: ${what}`))
    .filter((right) => !used.has(right));
}

/** What is fetched is reported as a URL. */
function addressOf(value: string | null): string | null {
  return value !== null && /^https?:/.test(value) ? new URL(value).host : value;
}

Deno.test("a relay with HTTP and a heartbeat uses each right that it is granted", async () => {
  await using ilert = await IlertEmulator.start();
  await using beats = await IlertEmulator.start();
  const port = await freePort();
  const rest = await unused({
    flags: ["-p", `${port}`, "--host", "127.0.0.1", "-b", "some-key"],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: beats.url },
    async use() {
      const answer = await fetch(`http://127.0.0.1:${port}/api/events`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ apiKey: "il1api-audited", eventType: "ALERT", summary: "s" }),
      });
      await answer.body?.cancel();
      await until(() => ilert.requests.length > 0 && beats.requests.length > 0, "both hosts are reached");
    },
  });
  assert.deepEqual(rest, []);
});

Deno.test("an edge connector to an HTTP target uses each right that it is granted", async () => {
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  await using target = await WebhookTarget.start();
  ilert.edge.add(edgePayload(1));
  const rest = await unused({
    flags: ["--edge_mode", "http", "--edge_http_url", target.url],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    use: () => until(() => target.taken.length === 1, "the target has the item"),
  });
  assert.deepEqual(rest, []);
});

Deno.test("an edge connector to stdout uses each right that it is granted", async () => {
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  ilert.edge.add(edgePayload(1));
  const rest = await unused({
    flags: ["--edge_mode", "stdout"],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    use: async (agent) => void await agent.waitForLine(/alert-created/),
  });
  assert.deepEqual(rest, []);
});

Deno.test("an edge connector to a script, and the worker that runs it, use each right that they are granted", async () => {
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  ilert.edge.add(edgePayload(1));
  using folder = new ScriptFolder();
  const rest = await unused({
    flags: ["--edge_mode", "script", "--edge_script", folder.write("exit 1")],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    // What a failed run has left behind is killed.
    use: async (agent) => void await agent.waitForLine(/the script ended with exit code 1/),
  });
  assert.deepEqual(rest, []);
});

brokerTest("a relay of MQTT over mutual TLS uses each right that it is granted", MQTT, async () => {
  await using all = await mosquitto();
  await using ilert = await IlertEmulator.start();
  const port = await freePort();
  const rest = await unused({
    flags: ["-p", `${port}`, "--host", "127.0.0.1", ...all.flags, "-e", "events"],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: ilert.url },
    async use(agent) {
      await until(async () => (await status(`${agent.url}/ready`)) === 204, "it has subscribed");
      await all.peer.publish("events", eventMessage(1));
      await ilert.waitFor(() => ilert.acceptedCount === 1);
    },
  });
  assert.deepEqual(rest, []);
});

brokerTest("an edge connector to MQTT over mutual TLS uses each right that it is granted", MQTT, async () => {
  await using all = await mosquitto();
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  await all.peer.subscribe("alerts");
  ilert.edge.add(edgePayload(1));
  const rest = await unused({
    flags: ["--edge_mode", "mqtt", "--edge_topic", "alerts", ...all.flags],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    use: async () => void await all.peer.received(1),
  });
  assert.deepEqual(rest, []);
});

brokerTest("a relay of Kafka over TLS uses each right that it is granted", KAFKA, async () => {
  await using all = await kafka();
  await using ilert = await IlertEmulator.start();
  const topic = await all.peer.createTopic(1);
  const port = await freePort();
  const group = `group-${crypto.randomUUID()}`;
  const rest = await unused({
    flags: ["-p", `${port}`, "--host", "127.0.0.1", ...all.flags, "-e", topic, "--kafka_group_id", group],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: ilert.url, ...all.env },
    async use(agent) {
      await until(async () => (await status(`${agent.url}/ready`)) === 204, "it consumes", 30_000);
      await all.peer.send(topic, [{ key: "1", value: eventMessage(1) }]);
      await ilert.waitFor(() => ilert.acceptedCount === 1);
    },
  });
  assert.deepEqual(rest, []);
});

brokerTest("an edge connector to Kafka over TLS uses each right that it is granted", KAFKA, async () => {
  await using all = await kafka();
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  const topic = await all.peer.createTopic(1);
  ilert.edge.add(edgePayload(1));
  const rest = await unused({
    flags: ["--edge_mode", "kafka", "--edge_topic", topic, ...all.flags],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY, ...all.env },
    use: async () => void await all.peer.received(topic, 1, 30_000),
  });
  assert.deepEqual(rest, []);
});

async function mosquitto() {
  await using stack = new AsyncDisposableStack();
  const certificates = stack.use(await Certificates.create());
  const broker = stack.use(
    await startMosquitto({ listeners: { plain: {}, mutual: { tls: "mutual" } }, certificates }),
  );
  const peer = stack.use(await MqttPeer.connect(broker.url("plain")));
  const { caFile, client } = certificates;
  const flags = [
    ...["-m", `mqtts://localhost:${broker.port("mutual")}`, "--mqtt_ca", caFile],
    ...["--mqtt_client_cert", client.certFile, "--mqtt_client_key", client.keyFile],
  ];
  const opened = stack.move();
  return { peer, flags, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function kafka() {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await sharedKafka());
  const peer = stack.use(await KafkaPeer.connect(broker.address("PLAINTEXT")));
  const flags = [
    ...["--kafka_brokers", broker.address("SASL_SSL"), "--kafka_tls", "--kafka_ca", broker.caFile],
    ...["--kafka_sasl_mechanism", "scram-sha-512", "--kafka_username", "alice"],
  ];
  const env = { ILAGENT_KAFKA_PASSWORD: broker.users["alice"] ?? "" };
  const opened = stack.move();
  return { peer, flags, env, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function status(url: string): Promise<number> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
}
