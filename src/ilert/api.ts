/**
 * ilert's HTTP API: the only file that knows its paths, headers and status codes.
 * Source: contract of the events API (`POST /api/events`) and of heartbeats (`/api/heartbeats`, `/api/pings`).
 */

import { type AlertEvent, eventBody } from "../domain/event.ts";
import type { Outcome } from "../domain/outcome.ts";
import { parseRetryAfter } from "../domain/retry_policy.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { discard, excerptOf, networkFailure } from "../runtime/http_answers.ts";
import { LEGACY_HEARTBEAT_KEY } from "./heartbeat_keys.ts";
import { VERSION } from "../runtime/version.ts";

export interface IlertConfig {
  /** Scheme and host, without a trailing slash. */
  apiHost: string;
  heartbeatHost: string;
  /** Idle connections kept per host; as many as requests may be in flight. */
  connections: number;
}

export type PingResult =
  | { ok: true; correlationId: string | null }
  /** Final: asking again would get the same answer. */
  | { ok: false; reason: string; isFinal: boolean };

const REQUEST_TIMEOUT_MS = 28_000;
const PING_HEADERS: [string, string][] = [["user-agent", `ilagent/${VERSION}`]];
const EVENT_HEADERS: [string, string][] = [
  ...PING_HEADERS,
  ["content-type", "application/json"],
  ["accept", "application/json"],
];

export class IlertApi implements Disposable {
  readonly #config: IlertConfig;
  readonly #client: Deno.HttpClient;
  readonly #deadlines = new Deadlines(REQUEST_TIMEOUT_MS);
  readonly #now: () => number;

  constructor(config: IlertConfig, now: () => number) {
    this.#config = config;
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: config.connections });
    this.#now = now;
  }

  /** One attempt. Answers with an outcome for whatever the network does; throws only for a bug. */
  async deliver(event: AlertEvent, apiPath: string | null, signal: AbortSignal): Promise<Outcome> {
    const url = `${this.#config.apiHost}/api${apiPath ?? "/events"}`;
    const init = { method: "POST", headers: EVENT_HEADERS, body: eventBody(event) };
    return await this.#request(url, init, signal, async (response) => {
      if (response.ok) {
        await discard(response);
        return { kind: "delivered", correlationId: response.headers.get("correlation-id") };
      }
      return this.#classify(response, await excerptOf(response));
    }, unreachable);
  }

  /** One heartbeat ping; 202 is success. */
  async ping(key: string, signal: AbortSignal): Promise<PingResult> {
    const path = encodeURIComponent(key);
    const [method, url] = key.startsWith(LEGACY_HEARTBEAT_KEY)
      ? ["GET", `${this.#config.apiHost}/api/heartbeats/${path}`]
      : ["HEAD", `${this.#config.heartbeatHost}/api/pings/${path}`];
    return await this.#request<PingResult>(
      url,
      { method, headers: PING_HEADERS },
      signal,
      async (response) => {
        await response.body?.cancel();
        const { status } = response;
        if (status === 202) return { ok: true, correlationId: response.headers.get("correlation-id") };
        const isFinal = status < 500 && status !== 429 && status !== 408;
        return { ok: false, reason: `ilert answered ${status}`, isFinal };
      },
      (reason) => ({ ok: false, reason, isFinal: false }),
    );
  }

  [Symbol.dispose](): void {
    this.#deadlines[Symbol.dispose]();
    this.#client.close();
  }

  #classify(response: Response, responseBody: string): Outcome {
    const { status } = response;
    const reason = `ilert answered ${status}`;
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), this.#now());
    if (status === 429) return { kind: "retry", cause: "throttled", status, reason, retryAfterMs };
    if (status === 408) return { kind: "retry", cause: "timed_out", status, reason, retryAfterMs };
    if (status >= 500) return { kind: "retry", cause: "server_error", status, reason, retryAfterMs };
    return { kind: "rejected", status, reason, responseBody };
  }

  async #request<T>(
    url: string,
    init: RequestInit,
    signal: AbortSignal,
    answered: (response: Response) => Promise<T>,
    failed: (reason: string) => T,
  ): Promise<T> {
    return await this.#deadlines.within(signal, async (limit) => {
      try {
        return await answered(
          await fetch(url, { ...init, redirect: "manual", signal: limit, client: this.#client }),
        );
      } catch (error) {
        if (signal.aborted) return failed("the agent is shutting down");
        return failed(
          limit.aborted ? `no answer within ${REQUEST_TIMEOUT_MS / 1000} s` : networkFailure(error),
        );
      }
    });
  }
}

function unreachable(reason: string): Outcome {
  return { kind: "retry", cause: "unreachable", status: null, reason, retryAfterMs: null };
}
