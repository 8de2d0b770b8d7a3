/**
 * An ilert to test against: its API and its heartbeat host on one port, what it was asked, and the ways in
 * which it can fail. An event counts as accepted when it arrives; a delay only holds back the answer, as
 * latency does, so that a client that gives up meanwhile delivers twice.
 */

import { type Alert, AlertBook } from "./ilert_alerts.ts";
import { failure, JSON_HEADERS } from "./ilert_answers.ts";
import { EmulatedIlertApi, type IlertApiOptions } from "./ilert_api.ts";
import { EdgeDesk, type EdgeOptions } from "./ilert_edge.ts";
import { answerControl, CONTROL_PREFIX } from "./ilert_emulator_control.ts";
import type { IlertEvent } from "./ilert_event_validation.ts";
import { type Fault, FaultBoard, type FaultyAnswer, type InjectedFault } from "./ilert_faults.ts";
import {
  type Address,
  type Answer,
  type Exchange,
  type Listener,
  listenFast,
  listenOnFreePort,
  listenRaw,
} from "./ilert_listener.ts";
import { type EmulatedPolicy, type EmulatedUser, PolicyDirectory } from "./ilert_policies.ts";
import {
  type AcceptedEvent,
  type OrderViolation,
  type RecordedRequest,
  type RequestCounts,
  RequestLog,
} from "./ilert_request_log.ts";
import { routeOf } from "./ilert_routes.ts";
import { sleep, WaitingRoom } from "./waiting_room.ts";

export interface IlertEmulatorOptions extends IlertApiOptions, EdgeOptions {
  /** Default: a free one. */
  port?: number;
  /** Default 127.0.0.1. */
  hostname?: string;
  /** "counts" keeps no request, event or alert. Default "all". */
  record?: "all" | "counts";
  /** Allows reset, resetMidBody and notHttp, at about two thirds of the speed. Default false. */
  rawFaults?: boolean;
  /** What makes an event unique. Default: customDetails.n. */
  identify?: (event: IlertEvent) => string | number | undefined;
  /** Grows within an (integration key, alert key) lane. Default: customDetails.n, where it is a number. */
  sequenceOf?: (event: IlertEvent) => number | undefined;
  /** Called with every request once it is answered. */
  onAnswered?: (request: RecordedRequest) => void;
}

export interface EmulatorState {
  url: string;
  counts: RequestCounts;
  alerts: number;
  faults: (Fault & { applied: number })[];
}

export interface WaitOptions {
  /** Default 10,000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const DOWN_AFTER_MS = 50;
const BODY_CHARACTERS_MAX = 1_000_000;
const RECORDED_HEADERS = ["user-agent", "authorization", "content-type"] as const;
const BODILESS_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

export class IlertEmulator implements AsyncDisposable {
  /** Its edge connections. */
  readonly edge: EdgeDesk;
  readonly #options: IlertEmulatorOptions;
  readonly #log: RequestLog;
  readonly #faults: FaultBoard;
  readonly #book = new AlertBook();
  readonly #directory = new PolicyDirectory();
  readonly #waiting = new WaitingRoom();
  readonly #api: EmulatedIlertApi;
  #held = new AbortController();
  #address: Address;
  #listener: Listener | null = null;
  #switching: Promise<void> = Promise.resolve();
  #comeBackTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  private constructor(options: IlertEmulatorOptions) {
    this.#options = options;
    this.#faults = new FaultBoard(options.rawFaults ?? false);
    this.#address = { hostname: options.hostname ?? "127.0.0.1", port: options.port ?? 0 };
    this.#log = new RequestLog({
      record: options.record ?? "all",
      identify: options.identify ?? numberOfEvent,
      sequenceOf: options.sequenceOf ?? numericNumberOfEvent,
    });
    this.edge = new EdgeDesk(options);
    this.#api = new EmulatedIlertApi(options, this.#log, this.#book, this.#directory, this.edge);
  }

  /** Throws Deno.errors.AddrInUse when `port` is taken. */
  static async start(options: IlertEmulatorOptions = {}): Promise<IlertEmulator> {
    const emulator = new IlertEmulator(options);
    await emulator.#listen();
    return emulator;
  }

  get url(): string {
    const { hostname, port } = this.#address;
    return `http://${hostname === "0.0.0.0" ? "127.0.0.1" : hostname}:${port}`;
  }

  /** In arrival order. Empty with `record: "counts"`, like the next two. */
  get requests(): readonly RecordedRequest[] {
    return this.#log.requests;
  }

  get accepted(): readonly AcceptedEvent[] {
    return this.#log.accepted;
  }

  get alerts(): readonly Alert[] {
    return this.#book.alerts;
  }

  get policies(): readonly EmulatedPolicy[] {
    return this.#directory.policies;
  }

  get counts(): RequestCounts {
    return this.#log.counts();
  }

  /** For predicates that are asked after every request of a long run. */
  get acceptedCount(): number {
    return this.#log.acceptedCount;
  }

  /** Accepted events whose identity had been accepted before. */
  get duplicates(): number {
    return this.counts.duplicates;
  }

  /** Repeats of an accepted event are duplicates, never violations. The first 1,000. */
  get orderViolations(): readonly OrderViolation[] {
    return this.#log.violations;
  }

  acceptedOf(integrationKey: string): AcceptedEvent[] {
    return this.accepted.filter(({ event }) => event.integrationKey === integrationKey);
  }

  requestsSince(seq: number, max = Number.MAX_SAFE_INTEGER): RecordedRequest[] {
    return this.#log.requestsSince(seq, max);
  }

  state(): EmulatorState {
    return {
      url: this.url,
      counts: this.counts,
      alerts: this.alerts.length,
      faults: this.#faults.describe(),
    };
  }

  /**
   * Resolves as soon as the recorded state satisfies the predicate, which is asked at once and after every
   * arrival and answer. Rejects with the counts so far when `timeoutMs` is over.
   */
  async waitFor(predicate: (emulator: this) => boolean, options: WaitOptions = {}): Promise<void> {
    const { timeoutMs = 10_000, signal } = options;
    await this.#waiting.until(() => predicate(this), {
      timeoutMs,
      ...(signal ? { signal } : {}),
      describe: () => `The emulator did not see what the test waits for: ${JSON.stringify(this.state())}`,
    });
  }

  addUser(user: EmulatedUser): void {
    this.#directory.addUser(user);
  }

  addPolicy(policy: EmulatedPolicy): void {
    this.#directory.addPolicy(policy);
  }

  /** In force for requests that arrive from now on. Throws when it needs `rawFaults`. */
  inject(fault: Fault): InjectedFault {
    return this.#faults.add(fault);
  }

  assertPossible(fault: Fault): void {
    this.#faults.assertPossible(fault);
  }

  /** Also answers what hangs. */
  clearFaults(): void {
    this.#faults.clear();
    this.releaseHanging();
  }

  /** What hangs or is delayed now is answered now. */
  releaseHanging(): void {
    this.#held.abort();
    this.#held = new AbortController();
  }

  /** Connections are refused, established ones cut; what was recorded stays. */
  async goDown(): Promise<void> {
    await this.#inTurn(async () => {
      const listener = this.#listener;
      this.#listener = null;
      if (listener === null) return;
      await listener.close();
      // Only now: Deno.serve still sends what a handler returns while its connections are being cut.
      this.releaseHanging();
    });
  }

  /** On the same port. */
  async comeBack(): Promise<void> {
    clearTimeout(this.#comeBackTimer);
    await this.#inTurn(async () => {
      if (this.#listener === null && !this.#closed) await this.#listen();
    });
  }

  /** For the control API, which is unreachable while down. Leaves its answer the time to go out. */
  goDownFor(ms: number): void {
    clearTimeout(this.#comeBackTimer);
    this.#comeBackTimer = setTimeout(async () => {
      await this.goDown();
      if (!this.#closed) this.#comeBackTimer = setTimeout(() => void this.comeBack(), ms);
    }, DOWN_AFTER_MS);
  }

  /** Nothing recorded, no faults; users and policies stay. */
  reset(): void {
    this.clearFaults();
    this.#log.reset();
    this.#book.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#comeBackTimer);
    this.#faults.clear();
    this.#waiting.close(new Error("The emulator was closed"));
    await this.goDown();
  }

  /** Going down and coming back at the same time would fight for the port. */
  async #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#switching.then(step);
    this.#switching = turn.catch(() => {}); // The caller of this turn gets its error, not the next one.
    await turn;
  }

  async #listen(): Promise<void> {
    const listen = this.#options.rawFaults ? listenRaw : listenFast;
    const handler = (exchange: Exchange) => this.#answer(exchange);
    if (this.#address.port !== 0) {
      this.#listener = await listen(this.#address, handler);
      return;
    }
    this.#listener = await listenOnFreePort((port) => listen({ ...this.#address, port }, handler));
    this.#address = { ...this.#address, port: this.#listener.port };
  }

  async #answer(exchange: Exchange): Promise<Answer> {
    const { target, method } = exchange;
    if (target.startsWith(CONTROL_PREFIX)) return await answerControl(this, exchange);

    const request = this.#log.arrived(method, target, this.#log.keepsAll ? headersOf(exchange) : {});
    let answer = await this.#answerArrived(request, exchange);
    if (method === "HEAD" && answer.kind === "respond") answer = { ...answer, body: null };

    this.#log.answered(request, answer.kind === "respond" ? answer.status : answer.kind);
    this.#options.onAnswered?.(request);
    this.#waiting.check();
    return answer;
  }

  async #answerArrived(request: RecordedRequest, exchange: Exchange): Promise<Answer> {
    let text = "";
    if (request.method !== "GET" && request.method !== "HEAD") {
      try {
        text = await exchange.text();
      } catch {
        return { kind: "gone" };
      }
    }
    if (text.length > BODY_CHARACTERS_MAX) return failure(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    if (text !== "") request.body = parsedOrText(text);

    const route = routeOf(request.method, request.path, request.body);
    const { delayMs, answer: faulty } = this.#faults.choose(route.group, route.key, Date.now());
    if (faulty === null && delayMs === 0) return this.#api.answer(route, request, exchange);
    const asIlert = () => this.#api.answer(route, request, exchange);
    return await this.#answerBadly(delayMs, faulty, asIlert, exchange);
  }

  async #answerBadly(
    delayMs: number,
    faulty: FaultyAnswer | null,
    asIlert: () => Answer,
    exchange: Exchange,
  ): Promise<Answer> {
    const answer = faulty === null || faulty.takesEvent ? asIlert() : null;
    this.#waiting.check();

    const listener = this.#listener;
    if (delayMs > 0) await sleep(delayMs, [this.#held.signal]);
    if (faulty?.kind === "hang" && !await this.#hang(exchange.clientGone())) return { kind: "gone" };
    if (this.#listener !== listener) return { kind: "gone" };

    if (faulty === null || faulty.kind === "hang") return answer ?? asIlert();
    if (faulty.kind !== "respond") return { kind: faulty.kind };
    const headers = { ...JSON_HEADERS, ...faulty.headers };
    const body = BODILESS_STATUSES.has(faulty.status) ? null : faulty.body;
    return { kind: "respond", status: faulty.status, headers, body };
  }

  /** False when the client gave up: what ilert had not taken until then, it must not take now. */
  async #hang(clientGone: AbortSignal): Promise<boolean> {
    await sleep(Infinity, [this.#held.signal, clientGone]);
    return !clientGone.aborted;
  }
}

function numberOfEvent({ customDetails }: IlertEvent): string | number | undefined {
  const n = customDetails?.["n"];
  return typeof n === "string" || typeof n === "number" ? n : undefined;
}

function numericNumberOfEvent(event: IlertEvent): number | undefined {
  const n = numberOfEvent(event);
  return typeof n === "number" ? n : undefined;
}

function headersOf(exchange: Exchange): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of RECORDED_HEADERS) {
    const value = exchange.header(name);
    if (value !== null) headers[name] = value;
  }
  return headers;
}

function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
