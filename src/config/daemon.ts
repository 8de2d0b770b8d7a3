/** What `ilagent daemon` is to be: a relay or, exclusively, an edge connector. */

import type { EdgeConfig } from "../edge/edge_config.ts";
import type { RelayConfig } from "../relay.ts";
import type { LogConfig } from "../runtime/log.ts";
import type { Findings, NamedFiles } from "./brokers.ts";
import { consumersConfig } from "./consumers.ts";
import { edgeConfig, strayEdgeFlags } from "./edge.ts";
import { enrichmentOf } from "./enrichment.ts";
import { type Flag, flagEntries, type FlagValues } from "./flags.ts";
import { serverConfig } from "./server.ts";
import type { Origins } from "./settings.ts";

export type DaemonConfig =
  | { kind: "relay"; config: RelayConfig; warnings: string[] }
  | { kind: "edge"; config: EdgeConfig; warnings: string[] }
  /** One line each. */
  | { kind: "invalid"; problems: string[] };

/** A request that ilert has not answered is given up after this. */
const SHUTDOWN_SECONDS = 25;

/** The rules that concern several flags at once. `values.file` must be absolute. */
export function daemonConfig(values: FlagValues, origins: Origins, files: NamedFiles): DaemonConfig {
  const findings: Findings = { problems: [], warnings: [] };
  const daemon = values.edge_mode === undefined
    ? { kind: "relay" as const, config: relayConfig(values, origins, files, findings) }
    : { kind: "edge" as const, config: edgeConfig(values, origins, files, findings) };
  const { problems, warnings } = findings;
  return problems.length > 0 ? { kind: "invalid", problems } : { ...daemon, warnings };
}

export function logConfig(values: FlagValues): LogConfig {
  return {
    verbosity: values.verbose,
    format: values.log_format,
    secrets: flagEntries.filter(([, flag]: [string, Flag]) => flag.secret)
      .map(([name]) => values[name])
      .filter((value): value is string => typeof value === "string"),
  };
}

function relayConfig(
  values: FlagValues,
  origins: Origins,
  files: NamedFiles,
  findings: Findings,
): RelayConfig {
  findings.problems.push(...strayEdgeFlags(origins));
  const problemsBefore = findings.problems.length;
  const consumers = consumersConfig(values, files, findings);
  const server = serverConfig(values);
  const hasNothingToDo = server === null && values.heartbeat === undefined && consumers === null;
  if (hasNothingToDo && findings.problems.length === problemsBefore) {
    findings.problems.push(
      "daemon: has nothing to do; give --port to take events over HTTP, --mqtt_host or --kafka_brokers to take them " +
        "from a broker, --heartbeat to send heartbeats, or --edge_mode to deliver from ilert",
    );
  }
  return {
    file: values.file,
    server,
    consumers,
    heartbeatKey: values.heartbeat ?? null,
    apiHost: values.api_host,
    heartbeatHost: values.heartbeat_host,
    deliveryConcurrency: values.delivery_concurrency,
    retriesMax: values.max_retries,
    enrichment: enrichmentOf(values),
    heartbeatRequiresReady: values.heartbeat_requires_ready ?? false,
    alarmKey: values.alarm_key ?? null,
    limits: {
      eventsMax: values.queue_max_events,
      bytesMax: values.queue_max_bytes,
      deadLettersMax: values.dead_letter_max,
    },
    shutdownTimeoutMs: (values.shutdown_timeout ?? SHUTDOWN_SECONDS) * 1000,
  };
}
