/** Configuration → exactly what the agent's worker may do, and nothing else. */

import type { RelayConfig } from "../relay.ts";
import { databaseFiles } from "../queue/database_files.ts";

/** `host:port` pairs and absolute paths. Whatever is not listed is denied: programs, variables, FFI, system data. */
export interface Permissions {
  net: string[];
  read: string[];
  write: string[];
}

/** The form `new Worker` takes. */
export function workerPermissions(permissions: Permissions) {
  return { ...permissions, env: false, run: false, sys: false, ffi: false, import: false };
}

export function relayPermissions(config: RelayConfig): Permissions {
  const files = databaseFiles(config.file);
  const listen = config.server === null ? [] : [address(config.server.hostname, config.server.port)];
  return { net: unique([...listen, ...ilertHosts(config)]), read: files, write: files };
}

export function senderPermissions(hosts: { apiHost: string; heartbeatHost: string }): Permissions {
  return { net: ilertHosts(hosts), read: [], write: [] };
}

export function auditPermissions(file: string): Permissions {
  return { net: [], read: [file], write: [file] };
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

function ilertHosts(hosts: { apiHost: string; heartbeatHost: string }): string[] {
  return unique([hostAndPort(hosts.apiHost), hostAndPort(hosts.heartbeatHost)]);
}

function address(hostname: string, port: number): string {
  const isIpv6 = hostname.includes(":") && !hostname.startsWith("[");
  return `${isIpv6 ? `[${hostname}]` : hostname}:${port}`;
}

function unique(list: string[]): string[] {
  return [...new Set(list)];
}
