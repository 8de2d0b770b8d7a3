/** Configuration → exactly what the agent's worker may do, and nothing else. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { EdgeConfig, SinkConfig } from "../edge/edge_config.ts";
import type { RelayConfig } from "../relay.ts";
import { LEGACY_HEARTBEAT_KEY } from "../ilert/heartbeat_keys.ts";
import type { ScriptSetup } from "./script_messages.ts";
import { databaseFiles, logPathOf } from "../queue/database_files.ts";
import type { TlsFiles } from "../runtime/tls_files.ts";

/** `host:port` pairs and absolute paths. Whatever is not listed is denied: programs, variables, FFI, system data. */
export interface Permissions {
  net: string[];
  read: string[];
  write: string[];
}

export interface IlertHosts {
  apiHost: string;
  heartbeatHost: string;
}

/** For what only computes and prints. */
export const NO_PERMISSIONS: Permissions = { net: [], read: [], write: [] };

/** The form `new Worker` takes. */
export function workerPermissions(permissions: Permissions) {
  return { ...permissions, env: false, run: false, sys: false, ffi: false, import: false };
}

/** Of the worker that runs the script: two programs, and nothing else. */
export function scriptWorkerPermissions({ path, killPath }: ScriptSetup) {
  const none = { net: false, read: false, write: false, env: false, sys: false, ffi: false, import: false };
  return { ...none, run: [path, killPath] };
}

/** Of the worker that looks for Kafka's brokers. */
export function brokerSearchPermissions({ brokers, tls }: KafkaConnection): Permissions {
  return { net: brokers, read: tlsPaths(tls), write: [] };
}

/** `kafkaBrokers` are those that were found beside the ones to begin with. */
export function relayPermissions(config: RelayConfig, kafkaBrokers: readonly string[] = []): Permissions {
  const { server, consumers, apiHost, heartbeatKey } = config;
  const files = databaseFiles(config.file);
  const listen = server === null ? [] : [address(server.hostname, server.port)];
  const passesBeatsOn = server !== null || (consumers?.mapping.topics.heartbeat ?? null) !== null;
  const ownBeat = heartbeatKey === null ? [] : [heartbeatHostOf(config, heartbeatKey)];
  const mqtt = consumers?.mqtt?.connection, kafka = consumers?.kafka?.connection;
  return {
    net: unique([
      ...listen,
      hostAndPort(apiHost),
      // Whose keys others choose go to either host.
      ...(passesBeatsOn ? ilertHosts(config) : ownBeat),
      ...(mqtt === undefined ? [] : [hostAndPort(mqtt.url)]),
      ...(kafka === undefined ? [] : [...kafka.brokers, ...kafkaBrokers]),
    ]),
    read: unique([...files.read, ...tlsPaths(mqtt?.tls), ...tlsPaths(kafka?.tls)]),
    write: files.write,
  };
}

/** `kafkaBrokers` as for the relay. */
export function edgePermissions(config: EdgeConfig, kafkaBrokers: readonly string[] = []): Permissions {
  const files = databaseFiles(config.file);
  const listen = config.server === null ? [] : [address(config.server.hostname, config.server.port)];
  const beat = config.heartbeatKey === null ? [] : [heartbeatHostOf(config, config.heartbeatKey)];
  const sink = sinkPermissions(config.sink, kafkaBrokers);
  return {
    net: unique([...listen, hostAndPort(config.apiHost), ...beat, ...sink.net]),
    read: [...files.read, ...sink.read],
    write: files.write,
  };
}

function sinkPermissions(
  sink: SinkConfig,
  kafkaBrokers: readonly string[],
): { net: string[]; read: string[] } {
  switch (sink.kind) {
    case "http":
      return { net: [hostAndPort(sink.url)], read: [] };
    case "kafka":
      return { net: [...sink.connection.brokers, ...kafkaBrokers], read: tlsPaths(sink.connection.tls) };
    case "mqtt":
      return { net: [hostAndPort(sink.connection.url)], read: tlsPaths(sink.connection.tls) };
    case "script":
    case "stdout":
      return { net: [], read: [] };
  }
}

export function eventPermissions(hosts: IlertHosts): Permissions {
  return { net: [hostAndPort(hosts.apiHost)], read: [], write: [] };
}

export function heartbeatPermissions(hosts: IlertHosts, key: string): Permissions {
  return { net: [heartbeatHostOf(hosts, key)], read: [], write: [] };
}

export function auditPermissions(file: string): Permissions {
  return { net: [], read: [file], write: [] };
}

export function operatorPermissions(file: string, isReading: boolean): Permissions {
  return { net: [], read: [file], write: isReading ? [] : [file] };
}

export function repairPermissions(file: string, aside: string): Permissions {
  const files = databaseFiles(file), corrupt = [aside, logPathOf(aside)];
  return { net: [], read: [...files.read, ...corrupt], write: [...files.write, ...corrupt] };
}

/** Flags of Deno's that this thread was started without, and cannot hand on. The built file has them all. */
export function lackingFlags({ net, read, write }: Permissions): string[] {
  const isLacking = (descriptor: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(descriptor).state !== "granted";
  return denoFlags({
    net: net.filter((host) => isLacking({ name: "net", host })),
    read: read.filter((path) => isLacking({ name: "read", path })),
    write: write.filter((path) => isLacking({ name: "write", path })),
  });
}

/** As `deno run` flags. */
export function denoFlags({ net, read, write }: Permissions): string[] {
  return Object.entries({ net, read, write }).filter(([, list]) => list.length > 0)
    .map(([name, list]) => `--allow-${name}=${list.join(",")}`);
}

/** Host and port of a URL, as Deno's `net` permission names them. */
export function hostAndPort(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  const isSecure = protocol === "https:" || protocol === "wss:";
  // What `URL` leaves out is the default of the scheme.
  return address(hostname, port === "" ? (isSecure ? 443 : 80) : Number(port));
}

function tlsPaths(files: TlsFiles | null | undefined): string[] {
  return [files?.caPath, files?.certPath, files?.keyPath].filter((path) => typeof path === "string");
}

function ilertHosts(hosts: IlertHosts): string[] {
  return [hostAndPort(hosts.apiHost), hostAndPort(hosts.heartbeatHost)];
}

function heartbeatHostOf(hosts: IlertHosts, key: string): string {
  return hostAndPort(key.startsWith(LEGACY_HEARTBEAT_KEY) ? hosts.apiHost : hosts.heartbeatHost);
}

function address(hostname: string, port: number): string {
  const isIpv6 = hostname.includes(":") && !hostname.startsWith("[");
  return `${isIpv6 ? `[${hostname}]` : hostname}:${port}`;
}

function unique(list: string[]): string[] {
  return [...new Set(list)];
}
