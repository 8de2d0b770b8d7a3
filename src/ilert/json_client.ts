/** One authenticated JSON call of ilert's API: what it answered, classified. */

import { parseJson } from "../domain/json.ts";
import type { Outcome, Retry } from "../domain/outcome.ts";
import { parseRetryAfter } from "../domain/retry_policy.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { failureOf } from "../runtime/failure.ts";
import { redactText } from "../runtime/redact.ts";
import { VERSION } from "../runtime/version.ts";

export interface JsonCall {
  method: "GET" | "POST" | "PUT";
  /** With its query, after scheme and host. */
  path: string;
  /** JSON text. */
  body?: string;
  /** What a reason calls it, such as `the search for the user`. */
  purpose: string;
}

export type JsonAnswer =
  /** 2xx. `json` is undefined where the body is no JSON. */
  | { kind: "answered"; status: number; text: string; json: unknown; correlationId: string | null }
  | Retry
  | Outcome & { kind: "rejected" };

const REQUEST_TIMEOUT_MS = 28_000;
/** Far beyond any escalation policy. */
const ANSWER_BYTES_MAX = 1_048_576;
/** What is kept of an answer that says why a call was refused. */
const KEPT_ANSWER_MAX = 4_096;

export class JsonClient implements Disposable {
  readonly #host: string;
  readonly #headers: [string, string][];
  readonly #client: Deno.HttpClient;
  readonly #deadlines = new Deadlines(REQUEST_TIMEOUT_MS);
  readonly #now: () => number;

  /** `host` is scheme and host, without a trailing slash; `now` the wall clock in ms. */
  constructor(host: string, apiKey: string, connections: number, now: () => number) {
    this.#host = host;
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: connections });
    this.#now = now;
    this.#headers = [
      ["user-agent", `ilagent/${VERSION}`],
      ["authorization", `Bearer ${apiKey}`],
      ["content-type", "application/json"],
      ["accept", "application/json"],
    ];
  }

  /** One attempt. Answers for whatever the network does; throws only for a bug. */
  async call({ method, path, body, purpose }: JsonCall, signal: AbortSignal): Promise<JsonAnswer> {
    const limit = this.#deadlines.signal(signal);
    const init = { method, headers: this.#headers, redirect: "manual", signal: limit } as const;
    try {
      const response = await fetch(`${this.#host}${path}`, {
        ...init,
        ...(body === undefined ? {} : { body }),
        client: this.#client,
      });
      return this.#classify(response, await textOf(response), purpose);
    } catch (error) {
      if (signal.aborted) return unreachable("the agent is shutting down");
      const trouble = limit.aborted
        ? `no answer within ${REQUEST_TIMEOUT_MS / 1000} s`
        : networkFailure(error);
      return unreachable(`${trouble} (${purpose})`);
    }
  }

  [Symbol.dispose](): void {
    this.#deadlines[Symbol.dispose]();
    this.#client.close();
  }

  #classify(response: Response, text: string, purpose: string): JsonAnswer {
    const { status, headers } = response;
    if (response.ok) {
      const correlationId = headers.get("correlation-id");
      return {
        kind: "answered",
        status,
        text: text.slice(0, KEPT_ANSWER_MAX),
        json: jsonOf(text),
        correlationId,
      };
    }
    const reason = `ilert answered ${status} to ${purpose}`;
    const retryAfterMs = parseRetryAfter(headers.get("retry-after"), this.#now());
    if (status === 429) return { kind: "retry", cause: "throttled", status, reason, retryAfterMs };
    if (status === 408) return { kind: "retry", cause: "timed_out", status, reason, retryAfterMs };
    if (status >= 500) return { kind: "retry", cause: "server_error", status, reason, retryAfterMs };
    return { kind: "rejected", status, reason, responseBody: text.slice(0, KEPT_ANSWER_MAX) };
  }
}

function unreachable(reason: string): Retry {
  return { kind: "retry", cause: "unreachable", status: null, reason, retryAfterMs: null };
}

/** Up to a bound; an answer that breaks off throws, as one that never came. */
async function textOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > ANSWER_BYTES_MAX) break;
  }
  return text;
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    // What the caller needs of it is not there then, and it says so.
    return undefined;
  }
}

/** fetch puts the URL into its messages: only what went wrong is kept. */
function networkFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = failureOf(cause)
    .replace(/^error sending request( from [^ ]+)? for url \([^)]*\)( \([^)]*\))?:? ?/, "")
    .replace(/^client error \([A-Za-z]+\): /, "");
  return redactText(text === "" ? "the connection failed" : text);
}
