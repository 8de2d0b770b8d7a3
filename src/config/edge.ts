/** The edge connector's configuration. Source: the edge connector's page, its tables and "Exclusive mode". */

import { resolve } from "node:path";
import type { EdgeConfig, SinkConfig } from "../edge/edge_config.ts";
import { failureOf } from "../runtime/failure.ts";
import { type Findings, kafkaConnection, mqttConnection, type NamedFiles } from "./brokers.ts";
import type { FlagName, FlagValues } from "./flags.ts";
import { consumerFlags } from "./flags/consumers.ts";
import { edgeFlags } from "./flags/edge.ts";
import { enrichmentFlags } from "./flags/enrichment.ts";
import type { Origins } from "./settings.ts";
import { serverConfig } from "./server.ts";

/** A delivery takes up to 30 s, and the one in hand is finished. */
const SHUTDOWN_SECONDS = 35;

/** Where Linux and macOS have it. */
const KILL_PATHS = ["/usr/bin/kill", "/bin/kill"];

/** Flags of the relay, which would have no effect beside `--edge_mode`. */
const EXCLUDED = [
  ...Object.keys(consumerFlags),
  ...Object.keys(enrichmentFlags),
  "mqtt_buffer",
  "mqtt_shared_group",
  "max_retries",
] as FlagName[];

/** Meaningful values only where `findings` gets no problem. */
export function edgeConfig(
  values: FlagValues,
  origins: Origins,
  files: NamedFiles,
  findings: Findings,
): EdgeConfig {
  for (const name of EXCLUDED) {
    const origin = origins.get(name);
    if (origin !== undefined) {
      findings.problems.push(`${origin}: cannot be combined with --edge_mode; remove one of them`);
    }
  }
  if (values.edge_connector_key === undefined) {
    findings.problems.push(
      "--edge_mode: needs the key of the edge connection; set ILERT_EDGE_CONNECTOR_KEY or ILERT_EDGE_CONNECTOR_KEY_FILE",
    );
  }
  if (values.edge_instance_id !== undefined && values.edge_cluster_id === undefined) {
    findings.warnings.push("--edge_instance_id has no effect without --edge_cluster_id");
  }
  return {
    file: values.file,
    server: serverConfig(values),
    heartbeatKey: values.heartbeat ?? null,
    heartbeatRequiresReady: values.heartbeat_requires_ready ?? false,
    alarmKey: values.alarm_key ?? null,
    apiHost: values.api_host,
    heartbeatHost: values.heartbeat_host,
    connectorKey: values.edge_connector_key ?? "",
    sink: sinkConfig(values, origins, files, findings),
    cluster: values.edge_cluster_id === undefined ? null : {
      clusterId: values.edge_cluster_id,
      instanceId: values.edge_instance_id ?? `ilagent-${crypto.randomUUID()}`,
    },
    pollIntervalMs: values.edge_poll_interval * 1000,
    standbyIntervalMs: values.edge_standby_interval * 1000,
    lagMaxMs: values.edge_max_lag,
    deadLettersMax: values.dead_letter_max,
    shutdownTimeoutMs: (values.shutdown_timeout ?? SHUTDOWN_SECONDS) * 1000,
  };
}

/** Flags of the edge connector on a command line that does not ask for it. */
export function strayEdgeFlags(origins: Origins): string[] {
  return Object.keys(edgeFlags).map((name) => origins.get(name as FlagName))
    .filter((origin) => origin?.startsWith("--"))
    .map((origin) => `${origin}: needs --edge_mode http|kafka|mqtt|script|stdout`);
}

function sinkConfig(
  values: FlagValues,
  origins: Origins,
  files: NamedFiles,
  findings: Findings,
): SinkConfig {
  const { edge_mode: mode = "stdout" } = values;
  const required = (name: FlagName) => {
    if (values[name] === undefined) findings.problems.push(`--edge_mode ${mode}: needs --${name}`);
  };
  switch (mode) {
    case "http":
      required("edge_http_url");
      return {
        kind: "http",
        url: values.edge_http_url ?? "",
        method: values.edge_http_method,
        auth: httpAuth(values, origins, findings),
      };
    case "kafka": {
      required("kafka_brokers");
      required("edge_topic");
      const connection = kafkaConnection(values, files, findings) ?? { brokers: [], tls: null, sasl: null };
      return { kind: "kafka", connection, topic: values.edge_topic ?? "" };
    }
    case "mqtt": {
      required("mqtt_host");
      required("edge_topic");
      const { edge_topic: topic = "" } = values;
      if (/[+#]/.test(topic)) {
        findings.problems.push("--edge_topic: must be one topic, without the wildcards + and #");
      }
      const connection = mqttConnection(values, files, findings) ??
        { url: "", clientId: null, username: null, password: null, tls: null };
      return { kind: "mqtt", connection, topic, qos: values.mqtt_qos ?? 0 };
    }
    case "script":
      required("edge_script");
      return {
        kind: "script",
        path: scriptPath(values.edge_script, files, findings),
        env: scriptEnv(values.edge_script_env, findings),
        killPath: killPath(files, findings),
      };
    case "stdout":
      return { kind: "stdout" };
  }
}

/** A value in the environment may be left over; one on the command line is meant, and so is a mistake. */
function httpAuth(values: FlagValues, origins: Origins, findings: Findings) {
  const { edge_http_auth_header: header, edge_http_auth_value: value } = values;
  if (header !== undefined && value === undefined) {
    findings.problems.push(
      "--edge_http_auth_header: needs a value; set ILERT_EDGE_HTTP_AUTH_VALUE or give --edge_http_auth_value",
    );
  }
  if (header === undefined && value !== undefined) {
    const origin = origins.get("edge_http_auth_value") ?? "";
    const line = `${origin}: has no effect without a header's name; give --edge_http_auth_header`;
    (origin.startsWith("--") ? findings.problems : findings.warnings).push(line);
  }
  return header === undefined || value === undefined ? null : { header, value };
}

function scriptPath(given: string | undefined, files: NamedFiles, findings: Findings): string {
  if (given === undefined) return "";
  const path = resolve(given);
  try {
    if (!files.isExecutable(path)) {
      findings.problems.push(`--edge_script: ${given} is not executable; name an executable file (chmod +x)`);
    }
  } catch (error) {
    findings.problems.push(
      `--edge_script: cannot use ${given}: ${failureOf(error)}; name an executable file`,
    );
  }
  return path;
}

/** Deno passes these on only where any program may be run. */
function scriptEnv(variables: [string, string][], findings: Findings): Record<string, string> {
  for (const [name, value] of variables) {
    if (/^(LD|DYLD)_/i.test(name) && value.trim() !== "") {
      findings.problems.push(
        `--edge_script_env: ${name} would change which code every program runs, so it cannot be passed on; ` +
          "set it inside the script",
      );
    }
  }
  return Object.fromEntries(variables);
}

function killPath(files: NamedFiles, findings: Findings): string {
  const found = KILL_PATHS.find((path) => {
    try {
      return files.isExecutable(path);
    } catch {
      return false;
    }
  });
  if (found === undefined) {
    findings.problems.push(
      `--edge_mode script: needs ${KILL_PATHS.join(" or ")} to end a script that hangs; install it (procps)`,
    );
  }
  return found ?? "";
}
