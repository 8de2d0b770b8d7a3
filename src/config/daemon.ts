/** The daemon's configuration, and the rules that concern several flags at once. */

import type { Enrichment } from "../domain/enrichment.ts";
import { NO_ENRICHMENT } from "../domain/enrichment.ts";
import type { RelayConfig } from "../relay.ts";
import type { LogConfig } from "../runtime/log.ts";
import { type Flag, flagEntries, type FlagValues } from "./flags.ts";

/** A request that ilert has not answered is given up after this. */
const SHUTDOWN_SECONDS = 25;

/** A complete configuration, or every problem as a line. `values.file` must be absolute. */
export function relayConfig(values: FlagValues): RelayConfig | { problems: string[] } {
  if (values.port === undefined && values.heartbeat === undefined) {
    return {
      problems: [
        "daemon: has nothing to do; give --port to take events over HTTP, or --heartbeat to send heartbeats",
      ],
    };
  }
  return {
    file: values.file,
    server: values.port === undefined ? null : {
      hostname: values.host,
      port: values.port,
      intakeToken: values.intake_token ?? null,
    },
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

export function enrichmentOf(values: FlagValues): Enrichment {
  const enrichment: Enrichment = {
    labels: Object.fromEntries(values.label),
    labelPaths: Object.fromEntries(values.map_key_label),
    severity: values.severity ?? null,
    severityPath: values.map_key_severity ?? null,
    routingKeyPath: values.map_key_routing_key ?? null,
    services: values.service,
  };
  const isEmpty = JSON.stringify(enrichment) === JSON.stringify(NO_ENRICHMENT);
  return isEmpty ? NO_ENRICHMENT : enrichment;
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
