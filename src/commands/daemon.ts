/** Starts what `ilagent daemon` is to be: with which job, which rights, and which other workers beside it. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { DaemonConfig } from "../config/daemon.ts";
import type { EdgeConfig } from "../edge/edge_config.ts";
import { runJailedWithKafka } from "../jail/kafka_supervisor.ts";
import type { Job } from "../jail/messages.ts";
import { edgePermissions, type Permissions, relayPermissions } from "../jail/permissions.ts";
import type { ScriptSetup } from "../jail/script_messages.ts";
import { type JobEnd, runJailed } from "../jail/supervisor.ts";
import type { LogConfig } from "../runtime/log.ts";

export type ValidDaemon = Exclude<DaemonConfig, { kind: "invalid" }>;

export function daemonJob(daemon: ValidDaemon, log: LogConfig, warnings: string[]): Job {
  return daemon.kind === "edge"
    ? { kind: "edge", config: withoutScriptEnv(daemon.config), log, warnings }
    : { kind: "relay", config: daemon.config, log, warnings };
}

/** Of the agent itself. `kafkaBrokers` are those that were found beside the ones to begin with. */
export function daemonPermissions(daemon: ValidDaemon, kafkaBrokers: readonly string[] = []): Permissions {
  return daemon.kind === "edge"
    ? edgePermissions(daemon.config, kafkaBrokers)
    : relayPermissions(daemon.config, kafkaBrokers);
}

/** Resolves when the daemon is over, however that came about. Never throws. */
export async function runDaemon(daemon: ValidDaemon, job: Job): Promise<JobEnd> {
  const permissionsWith = (brokers: readonly string[]) => daemonPermissions(daemon, brokers);
  const connection = kafkaOf(daemon);
  return connection === null
    ? await runJailed(job, permissionsWith([]), scriptOf(daemon))
    : await runJailedWithKafka({ job, connection, permissionsWith });
}

/** What may be reached beside the agent's own rights. */
export function workersBeside(
  daemon: ValidDaemon,
): { script: ScriptSetup | null; namesMoreBrokers: boolean } {
  return { script: scriptOf(daemon), namesMoreBrokers: kafkaOf(daemon) !== null };
}

/** What may be run, by a worker of its own; null in most modes. */
function scriptOf(daemon: ValidDaemon): ScriptSetup | null {
  return daemon.kind === "edge" && daemon.config.sink.kind === "script" ? daemon.config.sink : null;
}

/** The agent need not know what only the script is given. */
function withoutScriptEnv(config: EdgeConfig): EdgeConfig {
  return config.sink.kind === "script" ? { ...config, sink: { ...config.sink, env: {} } } : config;
}

function kafkaOf(daemon: ValidDaemon): KafkaConnection | null {
  if (daemon.kind === "relay") return daemon.config.consumers?.kafka?.connection ?? null;
  return daemon.config.sink.kind === "kafka" ? daemon.config.sink.connection : null;
}
