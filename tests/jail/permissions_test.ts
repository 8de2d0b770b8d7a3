import assert from "node:assert/strict";
import { relayPermissions, scriptWorkerPermissions } from "../../src/jail/permissions.ts";
import type { RelayConfig } from "../../src/relay.ts";
import type { ConsumersConfig } from "../../src/sources/consumers_config.ts";
import { aMapping } from "../support/mappings.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";

const NO_TLS = { caPath: null, certPath: null, keyPath: null };
const MQTT: ConsumersConfig["mqtt"] = {
  connection: { url: "mqtts://broker:8883", clientId: null, username: null, password: null, tls: NO_TLS },
  ...{ qos: 1, isBuffered: false, sharedGroup: null },
};
const KAFKA: ConsumersConfig["kafka"] = {
  connection: { brokers: ["k1:9092", "k2:9092"], tls: NO_TLS, sasl: null },
  ...{ groupId: "g", from: "latest" },
};

function config(consumers: Partial<ConsumersConfig>, topics: Partial<RelayTopics> = {}): RelayConfig {
  const { mapping } = aMapping({ topics: { event: "e", heartbeat: null, policy: null, ...topics } });
  return {
    file: "/data/a.db3",
    server: null,
    consumers: { mqtt: null, kafka: null, mapping, policy: null, ...consumers },
    heartbeatKey: null,
    apiHost: "https://api.ilert.com",
    heartbeatHost: "https://beat.ilert.com",
    deliveryConcurrency: 8,
    retriesMax: 1,
    enrichment: mapping.enrichment,
    limits: ROOMY,
    heartbeatRequiresReady: false,
    alarmKey: null,
    shutdownTimeoutMs: 1_000,
  };
}

type RelayTopics = ConsumersConfig["mapping"]["topics"];

Deno.test("relayPermissions() opens the MQTT broker and its TLS files, and nothing else", () => {
  const tls = { caPath: "/tls/ca.pem", certPath: "/tls/cert.pem", keyPath: null };
  const mqtt = { ...MQTT, connection: { ...MQTT.connection, tls } };
  const { net, read, write } = relayPermissions(config({ mqtt }));
  assert.deepEqual(net, ["api.ilert.com:443", "broker:8883"]);
  assert.deepEqual(read.filter((path) => !write.includes(path)), ["/tls/ca.pem", "/tls/cert.pem"]);
});

Deno.test("relayPermissions() opens the default port of a websocket's scheme", () => {
  const netOf = (url: string) =>
    relayPermissions(config({ mqtt: { ...MQTT, connection: { ...MQTT.connection, url } } })).net[1];
  assert.deepEqual([netOf("wss://broker:443/mqtt"), netOf("ws://broker:80")], ["broker:443", "broker:80"]);
});

Deno.test("relayPermissions() opens the Kafka brokers it is told of and those that were found", () => {
  const { net, read, write } = relayPermissions(config({ kafka: KAFKA }), ["k2:9092", "k3:9092"]);
  assert.deepEqual(net.slice(-3), ["k1:9092", "k2:9092", "k3:9092"]);
  assert.deepEqual(read, ["/data/a.db3", "/data/a.db3-wal"]);
  assert.deepEqual(write, [...read, "/data/a.db3.lock"]);
});

Deno.test("relayPermissions() opens both of ilert's hosts where messages carry heartbeats of any key", () => {
  const own = (heartbeatKey: string) => relayPermissions({ ...config({ mqtt: MQTT }), heartbeatKey }).net;
  assert.deepEqual(own("il1hbt-x"), ["api.ilert.com:443", "broker:8883"]);
  assert.deepEqual(own("other"), ["api.ilert.com:443", "beat.ilert.com:443", "broker:8883"]);
  const { net } = relayPermissions(config({ mqtt: MQTT }, { heartbeat: "beats" }));
  assert.deepEqual(net, [
    "api.ilert.com:443",
    "beat.ilert.com:443",
    "broker:8883",
  ]);
});

Deno.test("scriptWorkerPermissions() let the script run that lies at its path now: linked anew, gone for a while, replaced", async () => {
  using folder = new ScriptFolder();
  const path = folder.file("current"), first = folder.write("echo first", "first.sh");
  Deno.symlinkSync(first, path);
  const program = `self.onmessage = ({ data }) => {
    try {
      self.postMessage(new TextDecoder().decode(new Deno.Command(data, { clearEnv: true }).outputSync().stdout).trim());
    } catch (error) {
      self.postMessage(error.name);
    }
  }`;
  const permissions = scriptWorkerPermissions({ path, killPath: KILL_PROGRAM, env: {} });
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(program)}`, {
    type: "module",
    deno: { permissions },
  });
  const run = () =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(path);
    });
  try {
    assert.equal(await run(), "first");
    Deno.removeSync(path);
    assert.equal(await run(), "NotFound");
    Deno.symlinkSync(folder.write("echo second", "second.sh"), path);
    assert.equal(await run(), "second");
    Deno.removeSync(path);
    folder.write("echo third", "current");
    assert.equal(await run(), "third");
  } finally {
    worker.terminate();
  }
});
