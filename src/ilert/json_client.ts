/** One authenticated JSON call of ilert's API: what it answered, classified. */

import { parseJson } from "../domain/json.ts";
import type { Retry } from "../domain/outcome.ts";
import { ANSWER_CHARACTERS_MAX, excerptOf } from "../runtime/http_answers.ts";
import { VERSION } from "../runtime/version.ts";
import { type Rejected, Requests, unreachable } from "./requests.ts";

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
  | Rejected;

/** Far beyond any escalation policy. */
const ANSWER_BYTES_MAX = 1_048_576;

export class JsonClient implements Disposable {
  readonly #host: string;
  readonly #headers: [string, string][];
  readonly #requests: Requests;

  /** `host` is scheme and host, without a trailing slash; `now` the wall clock in ms. */
  constructor(host: string, apiKey: string, connections: number, now: () => number) {
    this.#host = host;
    this.#requests = new Requests({ poolMaxIdlePerHost: connections }, now);
    this.#headers = [
      ["user-agent", `ilagent/${VERSION}`],
      ["authorization", `Bearer ${apiKey}`],
      ["content-type", "application/json"],
      ["accept", "application/json"],
    ];
  }

  /** One attempt. Answers for whatever the network does; throws only for a bug. */
  async call({ method, path, body, purpose }: JsonCall, signal: AbortSignal): Promise<JsonAnswer> {
    const init = { method, headers: this.#headers, ...(body === undefined ? {} : { body }) };
    return await this.#requests.send<JsonAnswer>(
      `${this.#host}${path}`,
      init,
      signal,
      async (response) => {
        if (!response.ok) {
          return this.#requests.refusal(response, await excerptOf(response), ` to ${purpose}`);
        }
        // Of a change, only the status tells anything.
        return answerOf(response, await (method === "PUT" ? excerptOf(response) : textOf(response)));
      },
      (trouble) => unreachable(signal.aborted ? trouble : `${trouble} (${purpose})`),
    );
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
  }
}

function answerOf({ status, headers }: Response, text: string): JsonAnswer {
  const correlationId = headers.get("correlation-id");
  return {
    kind: "answered",
    status,
    text: text.slice(0, ANSWER_CHARACTERS_MAX),
    json: jsonOf(text),
    correlationId,
  };
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
