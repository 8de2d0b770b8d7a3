/**
 * The faults an emulated ilert can show. Faults are asked in the order they were added: every matching delay
 * adds up, the first other fault that matches decides the answer.
 */

import { isObject } from "./ilert_event_validation.ts";

export const ROUTE_GROUPS = ["event", "heartbeat", "policy", "edge", "unknown"] as const;
export type RouteGroup = typeof ROUTE_GROUPS[number];

export type FaultAction =
  | { kind: "status"; status: number; headers?: Record<string, string>; body?: string }
  | { kind: "delay"; ms: number }
  /** More than `perSecond` requests of one key in one second: 429 with Retry-After. */
  | { kind: "rateLimit"; perSecond: number; retryAfter?: "seconds" | "date" }
  | { kind: "redirect"; location: string; status?: number }
  /** 202, and a body that is not JSON. */
  | { kind: "malformedBody" }
  /** 200 with JSON of so many bytes, in which an edge connector would find no items. */
  | { kind: "largeBody"; bytes: number }
  /** No answer until `releaseHanging()`; then the answer ilert would have given. */
  | { kind: "hang" }
  /** Only with `rawFaults`: a TCP reset instead of an answer. */
  | { kind: "reset" }
  /** Only with `rawFaults`: a 202, part of its body, then a TCP reset. */
  | { kind: "resetMidBody" }
  /** Only with `rawFaults`: bytes that are not HTTP. */
  | { kind: "notHttp" };

export interface FaultScope {
  /** Only requests of this kind. Absent: all. */
  on?: RouteGroup;
  /** Only requests that carry this integration or heartbeat key, or edge instance id. */
  key?: string;
  /** Gone after this many applications. Absent: until removed. */
  times?: number;
  /** Applied to this share of the matching requests, 0 to 1, drawn from `seed`. */
  fraction?: number;
  seed?: number;
  /** ilert took the event although the answer says or suggests otherwise. Default: only when it says 202. */
  takesEvent?: boolean;
}

export type Fault = FaultAction & FaultScope;

/** A fault in force. */
export interface InjectedFault {
  readonly fault: Fault;
  /** How many requests it has hit. */
  readonly applied: number;
  remove(): void;
}

export type FaultyAnswer =
  & { takesEvent: boolean }
  & (
    | { kind: "respond"; status: number; headers: Record<string, string>; body: string }
    | { kind: "hang" | "reset" | "resetMidBody" | "notHttp" }
  );

const NO_FAULT = { delayMs: 0, answer: null };
const KEYS_PER_RATE_LIMIT_MAX = 100_000;
const LARGE_BODY_BYTES_MAX = 200_000_000;

export class FaultBoard {
  readonly #rawFaults: boolean;
  #faults: ActiveFault[] = [];

  constructor(rawFaults: boolean) {
    this.#rawFaults = rawFaults;
  }

  /** Throws when the fault needs `rawFaults` and the emulator was started without. */
  assertPossible(fault: Fault): void {
    if (!this.#rawFaults && needsRawFaults(fault)) {
      throw new Error(`Cannot inject ${fault.kind}: the emulator was started without rawFaults`);
    }
  }

  add(fault: Fault): InjectedFault {
    this.assertPossible(fault);
    const active = new ActiveFault(fault, () => {
      this.#faults = this.#faults.filter((other) => other !== active);
    });
    this.#faults.push(active);
    return active;
  }

  clear(): void {
    this.#faults = [];
  }

  /** Counts as one application for every fault that takes part. */
  choose(
    group: RouteGroup,
    key: string | undefined,
    nowMs: number,
  ): { delayMs: number; answer: FaultyAnswer | null } {
    if (this.#faults.length === 0) return NO_FAULT;
    let delayMs = 0;
    for (const active of this.#faults) {
      if (!active.strikes(group, key, nowMs)) continue;
      if (active.fault.kind !== "delay") return { delayMs, answer: faultyAnswer(active.fault, nowMs) };
      delayMs += active.fault.ms;
    }
    return { delayMs, answer: null };
  }

  describe(): (Fault & { applied: number })[] {
    return this.#faults.map(({ fault, applied }) => ({ ...fault, applied }));
  }
}

/** Reads a fault from outside. Throws a TypeError that says what is wrong. */
export function parseFault(value: unknown): Fault {
  if (!isObject(value)) throw new TypeError("a fault must be a JSON object");
  const { kind } = value;
  switch (kind) {
    case "status":
      requireNumber(value, "status", 200, 599);
      optional(value, "headers", (headers) => isObject(headers) && Object.values(headers).every(isText));
      optional(value, "body", isText);
      break;
    case "delay":
      requireNumber(value, "ms", 0, Number.MAX_SAFE_INTEGER);
      break;
    case "rateLimit":
      requireNumber(value, "perSecond", 0, Number.MAX_SAFE_INTEGER);
      optional(value, "retryAfter", (form) => form === "seconds" || form === "date");
      break;
    case "redirect":
      if (!isText(value["location"])) throw new TypeError("location must be a string");
      if (value["status"] !== undefined) requireNumber(value, "status", 300, 399);
      break;
    case "largeBody":
      requireNumber(value, "bytes", 0, LARGE_BODY_BYTES_MAX);
      break;
    case "malformedBody":
    case "hang":
    case "reset":
    case "resetMidBody":
    case "notHttp":
      break;
    default:
      throw new TypeError(
        "kind must be one of status, delay, rateLimit, redirect, malformedBody, largeBody, hang, reset, resetMidBody, notHttp",
      );
  }
  optional(value, "on", (on) => (ROUTE_GROUPS as readonly unknown[]).includes(on));
  optional(value, "key", isText);
  if (value["times"] !== undefined) requireNumber(value, "times", 1, Number.MAX_SAFE_INTEGER);
  if (value["fraction"] !== undefined) requireNumber(value, "fraction", 0, 1);
  if (value["seed"] !== undefined) requireNumber(value, "seed", 0, Number.MAX_SAFE_INTEGER);
  optional(value, "takesEvent", (takes) => typeof takes === "boolean");
  return value as unknown as Fault;
}

class ActiveFault implements InjectedFault {
  readonly fault: Fault;
  readonly remove: () => void;
  readonly #random: () => number;
  readonly #windows = new Map<string, { startMs: number; count: number }>();
  #applied = 0;

  constructor(fault: Fault, remove: () => void) {
    this.fault = fault;
    this.remove = remove;
    this.#random = seededRandom(fault.seed ?? 1);
  }

  get applied(): number {
    return this.#applied;
  }

  strikes(group: RouteGroup, key: string | undefined, nowMs: number): boolean {
    const { on, key: only, fraction, times } = this.fault;
    if (on !== undefined && on !== group) return false;
    if (only !== undefined && only !== key) return false;
    if (fraction !== undefined && this.#random() >= fraction) return false;
    if (this.fault.kind === "rateLimit" && !this.#exceeds(this.fault.perSecond, key ?? "", nowMs)) {
      return false;
    }
    this.#applied++;
    if (times !== undefined && this.#applied >= times) this.remove();
    return true;
  }

  #exceeds(perSecond: number, key: string, nowMs: number): boolean {
    let window = this.#windows.get(key);
    if (window === undefined || nowMs - window.startMs >= 1_000) {
      if (this.#windows.size >= KEYS_PER_RATE_LIMIT_MAX) this.#windows.clear();
      window = { startMs: nowMs, count: 0 };
      this.#windows.set(key, window);
    }
    if (window.count >= perSecond) return true;
    window.count++;
    return false;
  }
}

function needsRawFaults({ kind }: Fault): boolean {
  return kind === "reset" || kind === "resetMidBody" || kind === "notHttp";
}

function faultyAnswer(fault: Exclude<Fault, { kind: "delay" }>, nowMs: number): FaultyAnswer {
  const takesEvent = fault.takesEvent ?? false;
  switch (fault.kind) {
    case "status": {
      const body = fault.body ??
        JSON.stringify({ code: `EMULATED_${fault.status}`, message: "Injected fault" });
      return { kind: "respond", status: fault.status, headers: fault.headers ?? {}, body, takesEvent };
    }
    case "rateLimit": {
      const retryAfter = fault.retryAfter === "date" ? httpDateAfter(nowMs) : "1";
      const body = JSON.stringify({ code: "TOO_MANY_REQUESTS", message: "Rate limit exceeded" });
      return { kind: "respond", status: 429, headers: { "retry-after": retryAfter }, body, takesEvent };
    }
    case "redirect": {
      const headers = { location: fault.location };
      return { kind: "respond", status: fault.status ?? 307, headers, body: "", takesEvent };
    }
    case "malformedBody": {
      const body = '{"alertKey": <html>';
      return { kind: "respond", status: 202, headers: {}, body, takesEvent: fault.takesEvent ?? true };
    }
    case "largeBody": {
      const body = `{"items":[],"padding":"${"x".repeat(fault.bytes)}"}`;
      return { kind: "respond", status: 200, headers: {}, body, takesEvent };
    }
    case "resetMidBody":
      return { kind: "resetMidBody", takesEvent: fault.takesEvent ?? true };
    case "hang":
    case "reset":
    case "notHttp":
      return { kind: fault.kind, takesEvent };
  }
}

/** An HTTP date has whole seconds only: two ahead is never less than the one second the limit needs. */
function httpDateAfter(nowMs: number): string {
  return new Date(nowMs + 2_000).toUTCString();
}

/** mulberry32: small, and the same sequence on every machine. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function optional(value: Record<string, unknown>, field: string, isRight: (value: unknown) => boolean): void {
  if (value[field] !== undefined && !isRight(value[field])) throw new TypeError(`${field} has a wrong value`);
}

function requireNumber(value: Record<string, unknown>, field: string, min: number, max: number): void {
  const number = value[field];
  if (typeof number !== "number" || !(number >= min && number <= max)) {
    throw new TypeError(`${field} must be a number from ${min} to ${max}`);
  }
}
