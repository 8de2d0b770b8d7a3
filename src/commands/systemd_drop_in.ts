/**
 * `ilagent permissions --systemd`: the agent's rights once more, in the words of a drop-in for its service, so that the
 * kernel holds the whole process to them, Deno included.
 */

import type { EdgeConfig } from "../edge/edge_config.ts";
import type { Permissions } from "../jail/permissions.ts";
import type { RelayConfig } from "../relay.ts";

const LOOPBACK = /^(localhost|127(\.\d+){3}|::1)$/;
const ADDRESS = /^\d+(\.\d+){3}$|:/;
const HOMES = ["/home/", "/root/", "/run/user/"];

/** `proxies` are `NAME=host:port`: requests go there without a permission of Deno's. */
export function systemdDropIn(
  permissions: Permissions,
  config: RelayConfig | EdgeConfig,
  proxies: readonly string[],
): string {
  return [
    "# Drop-in for the agent's service, for exactly this configuration: write it anew when that changes.",
    "[Service]",
    ...files(permissions),
    "",
    ...listening(config.server),
    "",
    ...addresses(permissions, config, proxies),
    "",
    "# System calls and rights. MemoryDenyWriteExecute=yes is impossible: V8 compiles JavaScript to machine code.",
    ...(scriptOf(config) === null
      ? []
      : ["# The script, and what it starts, runs within all of these limits as well."]),
    "NoNewPrivileges=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources @keyring @memlock @aio",
    "SystemCallErrorNumber=EPERM",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
  ].join("\n");
}

function files({ read, write }: Permissions): string[] {
  const folders = unique(write.map((path) => path.replace(/\/[^/]*$/, "") || "/"));
  const onlyRead = read.filter((path) => !write.includes(path));
  const hidden = [...read, ...write].some((path) => HOMES.some((home) => path.startsWith(home)));
  return [
    "# Files. SQLite makes files of its own beside the database, so its whole folder can be written.",
    "ProtectSystem=strict",
    ...(hidden ? ["ProtectHome=read-only"] : []),
    ...(folders.length > 0 ? [`ReadWritePaths=${folders.map(quoted).join(" ")}`] : []),
    ...(onlyRead.length > 0 ? [`ReadOnlyPaths=${onlyRead.map(quoted).join(" ")}`] : []),
    "# Where a self-extracting file unpacks itself; a compiled one leaves it empty.",
    "CacheDirectory=ilagent",
    "Environment=ILAGENT_CACHE_DIR=%C/ilagent",
  ];
}

function listening(server: { port: number } | null): string[] {
  return [
    server === null ? "# Listening: it does not." : "# Listening",
    "SocketBindDeny=any",
    ...(server === null ? [] : [`SocketBindAllow=tcp:${server.port}`]),
  ];
}

/** The kernel filters addresses only, in both directions; a filter that is not complete would cut the agent off. */
function addresses(
  { net }: Permissions,
  config: RelayConfig | EdgeConfig,
  proxies: readonly string[],
): string[] {
  const own = config.server === null ? null : `${bracketed(config.server.hostname)}:${config.server.port}`;
  const hosts = unique(net.filter((entry) => entry !== own).map((entry) => entry.replace(/:\d+$/, "")))
    .map((host) => host.replace(/^\[(.*)\]$/, "$1"));
  const known = hosts.filter((host) => ADDRESS.test(host) || LOOPBACK.test(host));
  const names = hosts.filter((host) => !known.includes(host));
  const missing = [
    ...names,
    ...(names.length > 0 ? ["your name servers"] : []),
    ...proxies.map((proxy) => `the proxy of ${proxy}`),
    ...(takesFromAnywhere(config.server) ? ["the senders that may reach the agent's port"] : []),
    ...(usesKafka(config) ? ["the brokers that Kafka announces"] : []),
  ];
  const lines = [
    "IPAddressDeny=any",
    `IPAddressAllow=${unique(["localhost", ...known.filter((host) => !LOOPBACK.test(host))]).join(" ")}`,
  ];
  if (missing.length === 0) return ["# Addresses", ...lines];
  return [
    "# Addresses. systemd knows no names here: add the addresses of what is listed below, then remove the '#'.",
    "# Until then Deno's own permissions hold the agent to its hosts and ports.",
    ...lines.map((line) => `#${line}`),
    ...missing.map((what) => `#   ${what}`),
  ];
}

function takesFromAnywhere(server: { hostname: string } | null): boolean {
  return server !== null && !LOOPBACK.test(server.hostname);
}

function usesKafka(config: RelayConfig | EdgeConfig): boolean {
  if ("sink" in config) return config.sink.kind === "kafka";
  return config.consumers !== null && config.consumers.kafka !== null;
}

function scriptOf(config: RelayConfig | EdgeConfig): string | null {
  return "sink" in config && config.sink.kind === "script" ? config.sink.path : null;
}

function bracketed(hostname: string): string {
  return hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
}

/** As systemd reads a list of paths. */
function quoted(path: string): string {
  const text = path.replaceAll("%", "%%");
  return /[\s"'\\]/.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : text;
}

function unique(list: string[]): string[] {
  return [...new Set(list)];
}
