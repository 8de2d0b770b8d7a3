/**
 * Everything an emulated ilert was asked and what it took, with the questions a delivery test has: did an
 * event come twice, did one overtake another, how many are still unanswered.
 */

import type { IlertEvent } from "./ilert_event_validation.ts";

/** "gone": the client left, or goDown() cut it off, before it was answered. */
export type AnsweredStatus = number | "reset" | "resetMidBody" | "notHttp" | "gone";

export interface RecordedRequest {
  /** Arrival order, from 1. */
  readonly seq: number;
  /** performance.now() at arrival, ms. */
  readonly at: number;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Those of user-agent, authorization and content-type that were sent. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed; the text itself when it is not JSON; undefined without a body. */
  body?: unknown;
  /** null until answered. */
  status: AnsweredStatus | null;
  correlationId?: string;
}

export interface AcceptedEvent {
  readonly seq: number;
  readonly at: number;
  readonly path: string;
  readonly event: IlertEvent;
}

/** An event that ilert saw for the first time after a later one of its lane. */
export interface OrderViolation {
  readonly integrationKey: string;
  readonly alertKey: string;
  readonly sequence: number;
  readonly after: number;
}

export interface RequestCounts {
  requests: number;
  accepted: number;
  duplicates: number;
  orderViolations: number;
  /** Answered requests by status. */
  answered: Record<string, number>;
  inFlight: number;
  inFlightMax: number;
  /** What no longer fitted into the bounds below; 0 unless a run is enormous. */
  dropped: number;
}

export interface RequestLogOptions {
  /** "counts" keeps no request, event or alert, for benches of any length. */
  record: "all" | "counts";
  /** What makes an event unique. */
  identify: (event: IlertEvent) => string | number | undefined;
  /** Grows within a lane (integration key, alert key). */
  sequenceOf: (event: IlertEvent) => number | undefined;
}

const REQUESTS_MAX = 500_000;
const IDENTITIES_MAX = 5_000_000;
const LANES_MAX = 1_000_000;
const VIOLATIONS_MAX = 1_000;

export class RequestLog {
  readonly #options: RequestLogOptions;
  #requests: RecordedRequest[] = [];
  #accepted: AcceptedEvent[] = [];
  #violations: OrderViolation[] = [];
  #identities = new Set<string | number>();
  #lastOfLane = new Map<string, number>();
  #answered = new Map<AnsweredStatus, number>();
  #seq = 0;
  #requestsCount = 0;
  #acceptedCount = 0;
  #duplicatesCount = 0;
  #violationsCount = 0;
  #inFlight = 0;
  #inFlightMax = 0;
  #dropped = 0;

  constructor(options: RequestLogOptions) {
    this.#options = options;
  }

  get keepsAll(): boolean {
    return this.#options.record === "all";
  }

  get requests(): readonly RecordedRequest[] {
    return this.#requests;
  }

  get accepted(): readonly AcceptedEvent[] {
    return this.#accepted;
  }

  get violations(): readonly OrderViolation[] {
    return this.#violations;
  }

  /** Cheap: for predicates that are asked after every request. */
  get acceptedCount(): number {
    return this.#acceptedCount;
  }

  counts(): RequestCounts {
    return {
      requests: this.#requestsCount,
      accepted: this.#acceptedCount,
      duplicates: this.#duplicatesCount,
      orderViolations: this.#violationsCount,
      answered: Object.fromEntries(this.#answered),
      inFlight: this.#inFlight,
      inFlightMax: this.#inFlightMax,
      dropped: this.#dropped,
    };
  }

  requestsSince(seq: number, max: number): RecordedRequest[] {
    const first = this.#requests[0]?.seq ?? 0;
    const from = Math.max(0, seq + 1 - first);
    return this.#requests.slice(from, from + max);
  }

  arrived(method: string, path: string, headers: Record<string, string>): RecordedRequest {
    const request: RecordedRequest = {
      seq: ++this.#seq,
      at: performance.now(),
      method,
      path,
      headers,
      status: null,
    };
    this.#requestsCount++;
    if (++this.#inFlight > this.#inFlightMax) this.#inFlightMax = this.#inFlight;
    if (this.keepsAll) this.#keep(this.#requests, request);
    return request;
  }

  took(request: RecordedRequest, event: IlertEvent): void {
    this.#acceptedCount++;
    if (this.keepsAll) {
      this.#keep(this.#accepted, { seq: request.seq, at: request.at, path: request.path, event });
    }
    if (!this.#isRepeat(event)) this.#checkOrder(event);
  }

  answered(request: RecordedRequest, status: AnsweredStatus): void {
    request.status = status;
    this.#answered.set(status, (this.#answered.get(status) ?? 0) + 1);
    this.#inFlight--;
  }

  /** Requests still unanswered stay counted as in flight: they are. */
  reset(): void {
    this.#requests = [];
    this.#accepted = [];
    this.#violations = [];
    this.#identities = new Set();
    this.#lastOfLane = new Map();
    this.#answered = new Map();
    this.#requestsCount =
      this.#acceptedCount =
      this.#duplicatesCount =
      this.#violationsCount =
        0;
    this.#inFlightMax = this.#inFlight;
    this.#dropped = 0;
  }

  #keep<T>(kept: T[], item: T): void {
    kept.push(item);
    if (kept.length <= REQUESTS_MAX) return;
    // A tenth at a time: removing one per request would move half a million entries each time.
    this.#dropped += kept.splice(0, REQUESTS_MAX / 10).length;
  }

  #isRepeat(event: IlertEvent): boolean {
    const identity = this.#options.identify(event);
    if (identity === undefined) return false;
    if (this.#identities.has(identity)) {
      this.#duplicatesCount++;
      return true;
    }
    if (this.#identities.size < IDENTITIES_MAX) this.#identities.add(identity);
    else this.#dropped++;
    return false;
  }

  /** Events without an alert key have no order among themselves. */
  #checkOrder(event: IlertEvent): void {
    const { integrationKey, alertKey } = event;
    if (typeof alertKey !== "string") return;
    const sequence = this.#options.sequenceOf(event);
    if (sequence === undefined) return;

    const lane = `${integrationKey}\n${alertKey}`;
    const last = this.#lastOfLane.get(lane);
    if (last !== undefined && sequence < last) {
      this.#violationsCount++;
      if (this.#violations.length < VIOLATIONS_MAX) {
        this.#violations.push({ integrationKey, alertKey, sequence, after: last });
      }
      return;
    }
    if (last === undefined && this.#lastOfLane.size >= LANES_MAX) this.#dropped++;
    else this.#lastOfLane.set(lane, sequence);
  }
}
