/** How the text of a flag becomes a value. A parser throws `BadValue` saying what would be right. */

import {
  EVENT_TYPES,
  type EventService,
  type EventType,
  isEventType,
  isPriority,
  isSeverity,
  PRIORITIES,
  type Priority,
  SEVERITY_MAX,
  SEVERITY_MIN,
} from "../domain/event.ts";
import { BLOCKED_PORTS } from "./blocked_ports.ts";

export class BadValue extends Error {}

export function text(value: string): string {
  if (value === "") throw new BadValue("must not be empty");
  return value;
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): (value: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return (value) => {
    const number = Number(value);
    if (!/^[+-]?\d+$/.test(value) || number < min || number > max) {
      throw new BadValue(`must be a whole number ${range}`);
    }
    return number;
  };
}

const SPAN_UNITS: { [unit: string]: number } = { s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 };

/** A span of time in ms, as `90s`, `15m`, `2h` or `7d`. */
export function span(value: string): number {
  const [, number, unit = ""] = value.match(/^(\d+)([smhd])$/) ?? [];
  const ms = Number(number) * (SPAN_UNITS[unit] ?? NaN);
  if (!Number.isSafeInteger(ms)) throw new BadValue("must be a span such as 90s, 15m, 2h or 7d");
  return ms;
}

const BYTE_UNITS: { [unit: string]: number } = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** Bytes, as `500000` or `500k`, `500M`, `2G`. */
export function bytes(value: string): number {
  const [, number = "", unit = ""] = value.match(/^(\d+)([kmg]?)b?$/i) ?? [];
  const size = Number(number) * (BYTE_UNITS[unit.toLowerCase()] ?? 0);
  if (number === "" || size < 1e6 || !Number.isSafeInteger(size)) {
    throw new BadValue("must be a size of at least 1M, such as 500M or 2G");
  }
  return size;
}

export const port = integer(1, 65535);

/** Seconds, as `10` or `10s`. */
export function seconds(min: number, max: number): (value: string) => number {
  const parse = integer(min, max);
  return (value) => {
    try {
      return parse(value.replace(/s$/, ""));
    } catch {
      throw new BadValue(`must be seconds from ${min} to ${max}, such as 10 or 10s`);
    }
  };
}

export function switched(value: string): boolean {
  if (/^(true|1|yes|on)$/i.test(value)) return true;
  if (/^(false|0|no|off)$/i.test(value)) return false;
  throw new BadValue("must be true or false");
}

export function oneOf<T extends string>(...choices: T[]): (value: string) => T {
  return (value) => {
    if (choices.includes(value as T)) return value as T;
    throw new BadValue(`must be ${inWords(choices)}`);
  };
}

export function eventType(value: string): EventType {
  if (isEventType(value)) return value;
  throw new BadValue(`must be ${inWords(EVENT_TYPES)}`);
}

export function priority(value: string): Priority {
  if (isPriority(value)) return value;
  throw new BadValue(`must be ${inWords(PRIORITIES)}`);
}

export function severity(value: string): number {
  if (/^\d$/.test(value) && isSeverity(Number(value))) return Number(value);
  throw new BadValue(`must be a number from ${SEVERITY_MIN} to ${SEVERITY_MAX}`);
}

export function httpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new BadValue("must be an http:// or https:// URL");
  }
  return value;
}

/** Scheme, host, port and an optional base path; no trailing slash. */
export function httpHost(value: string): string {
  const url = new URL(httpUrl(value));
  if (!isHostName(url.hostname)) throw new BadValue("must name a host, such as https://api.ilert.com");
  refuseBlockedPort(url);
  if (url.search !== "" || url.hash !== "") throw new BadValue("must have no query and no fragment");
  if (url.username !== "" || url.password !== "") {
    throw new BadValue("must not carry a user name or password");
  }
  return value.replace(/\/+$/, "");
}

/** An address to listen on: the host part of a socket address. */
export function listenHost(value: string): string {
  const host = value.replace(/^\[(.*)\]$/, "$1");
  if (isHostName(host.includes(":") ? `[${host}]` : host)) return host;
  throw new BadValue("must be a host name or an IP address, without a port");
}

/** `name=value`, split at the first `=`. */
export function pair(value: string): [string, string] {
  const at = value.indexOf("=");
  if (at < 1 || at === value.length - 1) throw new BadValue("must be name=value");
  return [value.slice(0, at), value.slice(at + 1)];
}

export function service(value: string): EventService {
  const [kind, name] = /=/.test(value) ? pair(value) : ["", ""];
  if (kind === "alias") return { alias: name };
  if (kind === "id" && /^\d+$/.test(name) && Number.isSafeInteger(Number(name))) return { id: Number(name) };
  throw new BadValue("must be alias=NAME or id=NUMBER");
}

/** A bearer token or key: printable ASCII, because it travels in an HTTP header. */
export function secret(value: string): string {
  const trimmed = value.trim();
  if (trimmed === "") throw new BadValue("must not be empty");
  if (!/^[\x20-\x7e]+$/.test(trimmed)) throw new BadValue("must be printable ASCII on one line");
  return trimmed;
}

/** An integration or heartbeat key: it becomes part of a URL path and of a lane. */
export function key(value: string): string {
  const trimmed = secret(value);
  if (/[\s/?#]/.test(trimmed)) throw new BadValue("must be a key without spaces or any of / ? #");
  return trimmed;
}

/** A name of dot-separated labels, absolute with a final dot or not, an IPv4 address, or an IPv6 address in brackets: what a permission can name. */
function isHostName(host: string): boolean {
  if (host.startsWith("[")) return URL.canParse(`http://${host}/`);
  return /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/.test(
    host,
  );
}

function inWords(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}

export interface BrokerAddress {
  /** Null where only a host was given. */
  scheme: "mqtt" | "mqtts" | "ws" | "wss" | null;
  hostname: string;
  port: number | null;
  /** With its leading slash; only for websockets. */
  path: string;
}

/** `host`, `host:port`, `[::1]:1883`, or a URL with one of the schemes of MQTT clients. */
export function mqttHost(value: string): BrokerAddress {
  const form = "must be a host, host:port, or an mqtt://, mqtts://, ws:// or wss:// URL";
  const [, scheme, rest = ""] = value.match(/^(?:(mqtt|mqtts|ws|wss):\/\/)?([^\s]+)$/i) ?? [];
  const [, host = "", port, path = ""] = rest.match(/^(\[[^\]]*\]|[^/:?#@]*)(?::(\d+))?(\/[^?#]*)?$/) ?? [];
  if (!isHostName(host)) throw new BadValue(form);
  const known = (scheme?.toLowerCase() ?? null) as BrokerAddress["scheme"];
  const isWebsocket = known === "ws" || known === "wss";
  if (path.length > 1 && !isWebsocket) throw new BadValue(form);
  if (port !== undefined) checkPort(port);
  return {
    scheme: known,
    hostname: host.replace(/^\[(.*)\]$/, "$1"),
    port: port === undefined ? null : Number(port),
    path: isWebsocket ? path : "",
  };
}

export function qos(value: string): 0 | 1 | 2 {
  if (value === "0" || value === "1" || value === "2") return Number(value) as 0 | 1 | 2;
  throw new BadValue("must be 0, 1 or 2");
}

/** MQTT 5, section 4.8.2: a share name has no `/`, `+` or `#`. */
export function sharedGroup(value: string): string {
  if (/^[^/+#\s]+$/.test(value)) return value;
  throw new BadValue("must be a name without spaces or any of / + #");
}

/** `host:port` pairs, comma-separated; the port defaults to 9092. */
export function brokers(value: string): string[] {
  return list(value).map((broker) => {
    const [, host = "", port = "9092"] = broker.match(/^(\[[^\]]*\]|[^/:]*)(?::(\d+))?$/) ?? [];
    if (!isHostName(host)) throw new BadValue("must be host:port pairs with commas between them");
    checkPort(port);
    return `${host}:${port}`;
  });
}

export function saslMechanism(value: string): "plain" | "scram-sha-256" | "scram-sha-512" {
  return oneOf("plain", "scram-sha-256", "scram-sha-512")(value.toLowerCase());
}

/** Any text, the empty one too. */
export function anyText(value: string): string {
  return value;
}

/** Comma-separated names. */
export function list(value: string): string[] {
  const items = value.split(",").map((item) => item.trim()).filter((item) => item !== "");
  if (items.length === 0) throw new BadValue("must name at least one");
  return items;
}

/** Where deliveries go: with path and query, but no credentials, because the URL is logged. */
export function targetUrl(value: string): string {
  const url = new URL(httpUrl(value));
  if (!isHostName(url.hostname)) throw new BadValue("must name a host, such as http://localhost:9090/events");
  refuseBlockedPort(url);
  if (url.username !== "" || url.password !== "") {
    throw new BadValue("must not carry a user name or password; use --edge_http_auth_header");
  }
  return value;
}

export function httpMethod(value: string): "POST" | "PUT" | "PATCH" {
  return oneOf("POST", "PUT", "PATCH")(value.toUpperCase());
}

/** RFC 9110, section 5.1: a token. Headers that the delivery itself sets are refused. */
export function headerName(value: string): string {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value)) {
    throw new BadValue("must be the name of a header, such as Authorization");
  }
  if (/^(host|connection|content-type|content-length|transfer-encoding|x-ilert-.*)$/i.test(value)) {
    throw new BadValue("must not be a header that the delivery sets itself");
  }
  return value;
}

/** `NAME=value` for the environment of a process; the value may be empty. */
export function variable(value: string): [string, string] {
  const [, name, text = ""] = value.match(/^([A-Za-z_][A-Za-z0-9_]*)=([^\0]*)$/s) ?? [];
  if (name === undefined) throw new BadValue("must be NAME=value");
  return [name, text];
}

/** People paste the whole header's value. */
export function apiKey(value: string): string {
  return secret(value.replace(/^bearer /i, ""));
}

/** As a URL and a permission write an IPv6 address. */
export function bracketed(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

function refuseBlockedPort({ port }: URL): void {
  if (port === "" || !BLOCKED_PORTS.has(Number(port))) return;
  throw new BadValue(`must have another port: HTTP clients never connect to ${port}`);
}

function checkPort(text: string): void {
  const number = Number(text);
  if (number < 1 || number > 65535) throw new BadValue("must have a port from 1 to 65535");
}
