import assert from "node:assert/strict";
import type { NamedFiles } from "../../src/config/brokers.ts";
import { type DaemonConfig, daemonConfig } from "../../src/config/daemon.ts";
import { readSettings } from "../../src/config/settings.ts";

const PEM = "-----BEGIN CERTIFICATE-----";
const FILES: Record<string, string> = {
  "/ca.pem": PEM,
  "/cert.pem": PEM,
  "/key.pem": PEM,
  "/garbage.pem": "hello",
  "/run.sh": "executable",
  "/plain.sh": "",
  "/bin/kill": "executable",
};

const files: NamedFiles = {
  readFile: contentOf,
  isExecutable: (path) => contentOf(path) === "executable",
};

function contentOf(path: string): string {
  const content = FILES[path];
  if (content === undefined) throw new Deno.errors.NotFound(`No such file ${path}`);
  return content;
}

const EDGE = { ILERT_EDGE_CONNECTOR_KEY: "iec1x" };
type Variables = Record<string, string>;

async function configured(line: string, variables: Variables = {}): Promise<DaemonConfig> {
  const settings = await readSettings(["daemon", ...line.split(" ").filter((word) => word !== "")], {
    variable: (name) => variables[name],
    readFile: contentOf,
  });
  assert.equal(settings.kind, "run", JSON.stringify(settings));
  return settings.kind === "run" ? daemonConfig(settings.values, settings.origins, files) : assert.fail();
}

async function problems(line: string, variables?: Variables): Promise<string[]> {
  const config = await configured(line, variables);
  return config.kind === "invalid" ? config.problems : assert.fail(`'${line}' was accepted`);
}

async function relay(line: string, variables?: Variables) {
  const config = await configured(line, variables);
  return config.kind === "relay" ? config : assert.fail(JSON.stringify(config));
}

async function edge(line: string, variables: Variables = EDGE) {
  const config = await configured(line, variables);
  return config.kind === "edge" ? config : assert.fail(JSON.stringify(config));
}

Deno.test("daemonConfig() refuses a daemon with nothing to do", async () => {
  assert.match((await problems(""))[0] ?? "", /^daemon: has nothing to do; give --port/);
  assert.deepEqual((await relay("-b il1hbt1")).config.consumers, null);
});

Deno.test("daemonConfig() takes the commands of the high-availability page", async () => {
  const kafka = await relay("--kafka_brokers kafka:9092 --kafka_group_id ilagent -e events");
  assert.deepEqual(kafka.config.consumers?.kafka, {
    connection: { brokers: ["kafka:9092"], tls: null, sasl: null },
    groupId: "ilagent",
    from: "latest",
  });
  const shared = await relay("-m broker:1883 -e ilert/events --mqtt_shared_group ilagent --mqtt_qos 1");
  assert.deepEqual(shared.config.consumers?.mqtt, {
    connection: { url: "mqtt://broker:1883", clientId: null, username: null, password: null, tls: null },
    qos: 1,
    isBuffered: false,
    sharedGroup: "ilagent",
  });
  const passive = await relay("-m broker:1883 -e ilert/events -b il1hbt123 --mqtt_qos 1 --mqtt_buffer");
  assert.equal(passive.config.consumers?.mqtt?.isBuffered, true);
  assert.equal((await relay("-m broker:1883 -e site-a/events")).config.consumers?.mqtt?.qos, 1);
});

Deno.test("daemonConfig() takes MQTT addresses in all their forms", async () => {
  for (
    const [line, url] of [
      ["-m broker", "mqtt://broker:1883"],
      ["-m broker -q 1884", "mqtt://broker:1884"],
      ["-m broker:1884 -q 1884", "mqtt://broker:1884"],
      ["-m broker --mqtt_tls", "mqtts://broker:1883"],
      ["-m mqtts://broker", "mqtts://broker:8883"],
      ["-m ws://broker/mqtt", "ws://broker:80/mqtt"],
      ["-m ws://broker:9001 --mqtt_tls", "wss://broker:9001"],
      ["-m [::1]:1885", "mqtt://[::1]:1885"],
    ] as const
  ) {
    const { config } = await relay(`${line} -e events`);
    assert.equal(config.consumers?.mqtt?.connection.url, url, line);
  }
});

Deno.test("daemonConfig() reads the mapping, and leaves it to the messages where nothing is given", async () => {
  const mapped = await relay(
    "-m b -e a/+ -r hb --filter_key type --filter_val alarm --map_key_etype data.state --map_val_etype_alert on " +
      "--map_val_etype_resolve off --forward_message_payload --event_key il1api1",
  );
  assert.deepEqual(mapped.config.consumers?.mapping, {
    topics: { event: "a/+", heartbeat: "hb", policy: null },
    integrationKey: "il1api1",
    eventTypePath: "data.state",
    alertKeyPath: null,
    summaryPath: null,
    eventTypeValues: { ALERT: "on", ACCEPT: null, RESOLVE: "off" },
    filter: { field: "type", value: "alarm" },
    forwardPayload: true,
    enrichment: mapped.config.enrichment,
  });
});

Deno.test("daemonConfig() takes policy updates with a key, whose Bearer is stripped", async () => {
  const line = "-m b --policy_topic policies --policy_routing_keys team,site --shift_offset -1";
  assert.deepEqual((await relay(line, { ILERT_API_KEY: "Bearer abc" })).config.consumers?.policy, {
    mapping: {
      routingKeyFields: ["team", "site"],
      emailPath: "data.email",
      shiftPath: "data.shift",
      shiftOffset: -1,
    },
    apiKey: "abc",
  });
  assert.match((await problems(line))[0] ?? "", /^--policy_topic: needs an API key .*ILERT_API_KEY/);
});

Deno.test("daemonConfig() refuses what contradicts itself in a consumer, by the flag's name", async () => {
  for (
    const [line, expected] of [
      ["-m b -e t --mqtt_qos 0", /^--mqtt_qos: QoS 0 has no broker acknowledgement .*use --mqtt_buffer/],
      ["-m b", /^--mqtt_host: needs at least one topic/],
      ["--kafka_brokers b:1", /^--kafka_brokers: needs at least one topic/],
      ["-p 1 -e t", /^daemon: a topic needs a broker/],
      ["-m b -e a/#/b", /^--event_topic: "a\/#\/b" is no MQTT topic filter: # .*as in site\/#$/],
      ["-m b -e t -r a+", /^--heartbeat_topic: "a\+" is no MQTT topic filter: \+ .*site\/\+\/events$/],
      ["-m b -e t --mqtt_username u", /^--mqtt_username: needs a password too/],
      ["-m b:1 -q 2 -e t", /^--mqtt_port: is 2, but --mqtt_host names port 1/],
      ["-m b -e t --mqtt_tls --mqtt_ca /gone.pem", /^--mqtt_ca: cannot read \/gone.pem: no such file/],
      ["-m b -e t --mqtt_tls --mqtt_ca /garbage.pem", /^--mqtt_ca: \/garbage.pem holds no PEM/],
      ["-m b -e t --mqtt_tls --mqtt_client_cert /cert.pem", /^--mqtt_client_cert: needs its private key/],
      ["-m b -e t --mqtt_tls --mqtt_client_key /key.pem", /^--mqtt_client_key: needs the certificate/],
      ["--kafka_brokers b:1 -e t --kafka_ca /ca.pem", /^--kafka_ca: needs TLS/],
      ["--kafka_brokers b:1 -e t --kafka_username u", /^--kafka_username: needs a password/],
      ["--kafka_brokers b:1 -e t --kafka_sasl_mechanism plain", /^--kafka_sasl_mechanism: needs a user name/],
      ["-p 1 --edge_http_url http://h", /^--edge_http_url: needs --edge_mode/],
    ] as const
  ) {
    const lines = await problems(line);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", expected, line);
  }
});

Deno.test("daemonConfig() takes QoS 0 where messages are buffered", async () => {
  assert.equal((await relay("-m b -e t --mqtt_qos 0 --mqtt_buffer")).config.consumers?.mqtt?.qos, 0);
});

Deno.test("daemonConfig() warns of TLS files that have no effect, and of a password in the clear", async () => {
  assert.match((await relay("-m b -e t --mqtt_ca /ca.pem")).warnings[0] ?? "", /^--mqtt_ca has no effect/);
  const sasl = { ILAGENT_KAFKA_PASSWORD: "p" };
  const plain = await relay("--kafka_brokers b:1 -e t --kafka_username u", sasl);
  assert.match(plain.warnings[0] ?? "", /in the clear/);
  const scram = "--kafka_brokers b:1 -e t --kafka_username u --kafka_sasl_mechanism SCRAM-SHA-512";
  const { config, warnings } = await relay(`${scram} --kafka_tls --kafka_ca /ca.pem`, sasl);
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.consumers?.kafka?.connection, {
    brokers: ["b:1"],
    tls: { caPath: "/ca.pem", certPath: null, keyPath: null },
    sasl: { mechanism: "scram-sha-512", username: "u", password: "p" },
  });
});

Deno.test("daemonConfig() takes the commands of the edge connector's page", async () => {
  const http = await edge(
    "--edge_mode http --edge_http_url http://internal-service:8080/events --edge_http_auth_header Authorization",
    { ...EDGE, ILERT_EDGE_HTTP_AUTH_VALUE: "Bearer my-secret-token" },
  );
  assert.deepEqual(http.config.sink, {
    kind: "http",
    url: "http://internal-service:8080/events",
    method: "POST",
    auth: { header: "Authorization", value: "Bearer my-secret-token" },
  });
  assert.deepEqual([http.config.pollIntervalMs, http.config.shutdownTimeoutMs], [10_000, 35_000]);
  const kafka = await edge("--edge_mode kafka --kafka_brokers localhost:9092 --edge_topic edge-events");
  assert.equal(kafka.config.sink.kind === "kafka" && kafka.config.sink.topic, "edge-events");
  const mqtt = await edge("--edge_mode mqtt -m broker.local -q 1883 --mqtt_qos 1 --edge_topic edge/events");
  assert.equal(
    mqtt.config.sink.kind === "mqtt" && mqtt.config.sink.connection.url,
    "mqtt://broker.local:1883",
  );
  const unset = await edge("--edge_mode mqtt -m broker.local --edge_topic edge/events");
  assert.equal(unset.config.sink.kind === "mqtt" && unset.config.sink.qos, 0);
  const script = await edge(
    "-v -v -p 8977 -b il1hbt123 --edge_mode script --edge_script /run.sh --edge_cluster_id prod-cluster " +
      "--edge_instance_id node-1 --edge_poll_interval 15 --edge_script_env A=1",
  );
  assert.deepEqual(script.config.sink, {
    kind: "script",
    path: "/run.sh",
    env: { A: "1" },
    killPath: "/bin/kill",
  });
  assert.deepEqual(script.config.cluster, { clusterId: "prod-cluster", instanceId: "node-1" });
  assert.equal(script.config.pollIntervalMs, 15_000);
  assert.deepEqual((await edge("--edge_mode stdout")).config.sink, { kind: "stdout" });
});

Deno.test("daemonConfig() names an instance of a cluster by itself", async () => {
  const { cluster } = (await edge("--edge_mode stdout --edge_cluster_id c")).config;
  assert.match(cluster?.instanceId ?? "", /^ilagent-[0-9a-f]{8}-/);
});

Deno.test("daemonConfig() refuses every flag of the relay beside --edge_mode, by name", async () => {
  const excluded = [
    ...["event_topic", "heartbeat_topic", "policy_topic", "event_key", "map_key_etype", "map_key_alert_key"],
    ...[
      "map_key_summary",
      "map_val_etype_alert",
      "map_val_etype_accept",
      "map_val_etype_resolve",
      "filter_key",
    ],
    ...["filter_val", "map_key_email", "map_key_shift", "map_key_routing_key", "mqtt_shared_group"],
    ...["policy_routing_keys"],
  ];
  for (const name of excluded) {
    assert.deepEqual(await problems(`--edge_mode stdout --${name} x`, EDGE), [
      `--${name}: cannot be combined with --edge_mode; remove one of them`,
    ]);
  }
  for (
    const flag of [
      ...["forward_message_payload", "mqtt_buffer", "max_retries=5", "shift_offset=1", "label=a=b"],
      ...["map_key_label=a=b", "severity=1", "map_key_severity=a", "service=id=1"],
    ]
  ) {
    const lines = await problems(`--edge_mode stdout --${flag}`, EDGE);
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", new RegExp(`^--${flag.split("=")[0]}: cannot be combined with --edge_mode`));
  }
  assert.match(
    (await problems("--edge_mode stdout", { ...EDGE, ILAGENT_MAX_RETRIES: "3" }))[0] ?? "",
    /^ILAGENT_MAX_RETRIES: cannot/,
  );
});

Deno.test("daemonConfig() refuses an edge connector that lacks what its target needs", async () => {
  for (
    const [line, expected] of [
      ["--edge_mode http", "--edge_mode http: needs --edge_http_url"],
      ["--edge_mode kafka --edge_topic t", "--edge_mode kafka: needs --kafka_brokers"],
      ["--edge_mode kafka --kafka_brokers b:1", "--edge_mode kafka: needs --edge_topic"],
      ["--edge_mode mqtt --edge_topic t", "--edge_mode mqtt: needs --mqtt_host"],
      ["--edge_mode mqtt -m b", "--edge_mode mqtt: needs --edge_topic"],
      ["--edge_mode mqtt -m b --edge_topic t/#", "--edge_topic: must be one topic"],
      ["--edge_mode script", "--edge_mode script: needs --edge_script"],
      ["--edge_mode script --edge_script /gone.sh", "--edge_script: cannot use /gone.sh: no such file"],
      ["--edge_mode script --edge_script /plain.sh", "--edge_script: /plain.sh is not executable"],
      [
        "--edge_mode script --edge_script /run.sh --edge_script_env LD_PRELOAD=/x.so",
        "--edge_script_env: LD_PRELOAD would change",
      ],
      [
        "--edge_mode http --edge_http_url http://h --edge_http_auth_header A",
        "--edge_http_auth_header: needs",
      ],
      [
        "--edge_mode http --edge_http_url http://h --edge_http_auth_value v",
        "--edge_http_auth_value: has no",
      ],
    ] as const
  ) {
    const lines = await problems(line, EDGE);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.ok(lines[0]?.startsWith(expected), `${lines[0]}\n${expected}`);
  }
  assert.match(
    (await problems("--edge_mode stdout"))[0] ?? "",
    /^--edge_mode: needs .*ILERT_EDGE_CONNECTOR_KEY/,
  );
});

Deno.test("daemonConfig() only warns of a header's value that lies about in the environment", async () => {
  const { config, warnings } = await edge("--edge_mode http --edge_http_url http://h", {
    ...EDGE,
    ILERT_EDGE_HTTP_AUTH_VALUE: "v",
  });
  assert.equal(config.sink.kind === "http" && config.sink.auth, null);
  assert.match(warnings[0] ?? "", /^ILERT_EDGE_HTTP_AUTH_VALUE: has no effect/);
});
