/** Configuration → exactly what the agent's worker may do, and nothing else. */

import type { RelayConfig } from "../relay.ts";
import { LEGACY_HEARTBEAT_KEY } from "../ilert/heartbeat_keys.ts";
import { databaseFiles, logPathOf } from "../queue/database_files.ts";

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

export function relayPermissions(config: RelayConfig): Permissions {
  const files = databaseFiles(config.file);
  const listen = config.server === null ? [] : [address(config.server.hostname, config.server.port)];
  const beats = config.server === null
    ? [heartbeatHostOf(config, config.heartbeatKey ?? "")]
    : ilertHosts(config);
  return { net: unique([...listen, hostAndPort(config.apiHost), ...beats]), read: files, write: files };
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
  const files = [...databaseFiles(file), aside, logPathOf(aside)];
  return { net: [], read: files, write: files };
}

/** As `deno run` flags. */
export function denoFlags({ net, read, write }: Permissions): string[] {
  return Object.entries({ net, read, write }).filter(([, list]) => list.length > 0)
    .map(([name, list]) => `--allow-${name}=${list.join(",")}`);
}

/** Host and port of a URL, as Deno's `net` permission names them. */
export function hostAndPort(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return address(hostname, port === "" ? (protocol === "https:" ? 443 : 80) : Number(port));
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
