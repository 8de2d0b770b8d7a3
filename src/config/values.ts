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

/** A name of dot-separated labels, an IPv4 address, or an IPv6 address in brackets: what a permission can name. */
function isHostName(host: string): boolean {
  if (host.startsWith("[")) return URL.canParse(`http://${host}/`);
  return /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/.test(
    host,
  );
}

function inWords(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}
