/** Delivers each payload to one URL. Source: seeds/001, "HTTP". */

import { type EdgeItem, factsOf } from "../domain/edge_item.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { discard, excerptOf, networkFailure } from "../runtime/http_answers.ts";
import { VERSION } from "../runtime/version.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

export interface HttpTarget {
  url: string;
  method: "POST" | "PUT" | "PATCH";
  auth: { header: string; value: string } | null;
}

const REQUEST_TIMEOUT_MS = 30_000;

/**
 * Idle connections are closed before most servers close theirs (Node after 5 s): a request that meets a closing
 * connection fails, and would wait for the next poll.
 */
const IDLE_CONNECTION_MS = 4_000;

export class HttpSink implements Sink {
  readonly itemsMax = 1;
  readonly #target: HttpTarget;
  readonly #headers: [string, string][];
  readonly #client = Deno.createHttpClient({ poolMaxIdlePerHost: 1, poolIdleTimeout: IDLE_CONNECTION_MS });
  readonly #deadlines = new Deadlines(REQUEST_TIMEOUT_MS);

  constructor(target: HttpTarget) {
    this.#target = target;
    this.#headers = [["content-type", "application/json"], ["user-agent", `ilagent/${VERSION}`]];
    if (target.auth !== null) this.#headers.push([target.auth.header, target.auth.value]);
  }

  async *deliver(items: readonly EdgeItem[], signal: AbortSignal): AsyncGenerator<SinkOutcome> {
    for (const item of items) {
      const outcome = await this.#deadlines.within(signal, (limit) => this.#send(item, signal, limit));
      yield outcome;
      if (outcome.kind === "retry") return;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#deadlines[Symbol.dispose]();
    this.#client.close();
    return Promise.resolve();
  }

  async #send(item: EdgeItem, signal: AbortSignal, limit: AbortSignal): Promise<SinkOutcome> {
    const { url, method } = this.#target;
    const headers = [...this.#headers, ...headersOf(item)];
    try {
      return await classified(
        await fetch(url, {
          method,
          headers,
          body: item.body,
          redirect: "manual",
          signal: limit,
          client: this.#client,
        }),
      );
    } catch (error) {
      return { kind: "retry", reason: failure(error, signal, limit) };
    }
  }
}

async function classified(response: Response): Promise<SinkOutcome> {
  const { ok, status } = response;
  if (ok) {
    await discard(response);
    return { kind: "delivered" };
  }
  const responseBody = await excerptOf(response);
  const reason = `the target answered ${status}`;
  const isFinal = status >= 400 && status < 500 && status !== 429;
  return isFinal ? { kind: "rejected", status, reason, responseBody } : { kind: "retry", reason };
}

function headersOf(item: EdgeItem): [string, string][] {
  const { eventType, alertId } = factsOf(item);
  return [
    ["x-ilert-event-type", headerValue(eventType)],
    ["x-ilert-alert-id", headerValue(alertId)],
    ["x-ilert-edge-item-id", headerValue(item.id)],
  ];
}

/** What a header cannot carry goes percent-encoded, so that no payload makes its own delivery impossible. */
function headerValue(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()));
}

function failure(error: unknown, signal: AbortSignal, limit: AbortSignal): string {
  if (signal.aborted) return "the agent is shutting down";
  if (limit.aborted) return `the target gave no answer within ${REQUEST_TIMEOUT_MS / 1000} s`;
  return `the target cannot be reached: ${networkFailure(error)}`;
}
