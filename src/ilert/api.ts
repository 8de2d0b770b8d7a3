/**
 * ilert's HTTP API for events and heartbeats: the only file that knows their paths and headers.
 * Source: contract of the events API (`POST /api/events`) and of heartbeats (`/api/heartbeats`, `/api/pings`).
 */

import { type AlertEvent, eventBody } from "../domain/event.ts";
import type { Outcome } from "../domain/outcome.ts";
import { keyProblem } from "../domain/usable_key.ts";
import { discard, excerptOf } from "../runtime/http_answers.ts";
import { VERSION } from "../runtime/version.ts";
import { LEGACY_HEARTBEAT_KEY } from "./heartbeat_keys.ts";
import { Requests, unreachable } from "./requests.ts";

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

const PING_HEADERS: [string, string][] = [["user-agent", `ilagent/${VERSION}`]];
const EVENT_HEADERS: [string, string][] = [
  ...PING_HEADERS,
  ["content-type", "application/json"],
  ["accept", "application/json"],
];

export class IlertApi implements Disposable {
  readonly #config: IlertConfig;
  readonly #requests: Requests;

  constructor(config: IlertConfig, now: () => number) {
    this.#config = config;
    this.#requests = new Requests({ poolMaxIdlePerHost: config.connections }, now);
  }

  /** One attempt. Answers with an outcome for whatever the network does; throws only for a bug. */
  async deliver(event: AlertEvent, apiPath: string | null, signal: AbortSignal): Promise<Outcome> {
    const url = `${this.#config.apiHost}/api${apiPath ?? "/events"}`;
    const init = { method: "POST", headers: EVENT_HEADERS, body: eventBody(event) };
    return await this.#requests.send<Outcome>(url, init, signal, async (response) => {
      if (response.ok) {
        await discard(response);
        return { kind: "delivered", correlationId: response.headers.get("correlation-id") };
      }
      return this.#requests.refusal(response, await excerptOf(response));
    }, unreachable);
  }

  /** One heartbeat ping; 202 is success, and a key that a path cannot hold is refused here. */
  async ping(key: string, signal: AbortSignal): Promise<PingResult> {
    const reason = keyProblem(key);
    if (reason !== null) return { ok: false, reason, isFinal: true };
    const path = encodeURIComponent(key);
    const [method, url] = key.startsWith(LEGACY_HEARTBEAT_KEY)
      ? ["GET", `${this.#config.apiHost}/api/heartbeats/${path}`]
      : ["HEAD", `${this.#config.heartbeatHost}/api/pings/${path}`];
    return await this.#requests.send<PingResult>(
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
    this.#requests[Symbol.dispose]();
  }
}
