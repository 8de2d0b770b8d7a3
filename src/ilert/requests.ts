/** Requests to ilert: their connections, their time limit, and what its answers and the network's failures mean. */

import type { Outcome, Retry } from "../domain/outcome.ts";
import { parseRetryAfter } from "../domain/retry_policy.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { networkFailure } from "../runtime/http_answers.ts";

const REQUEST_TIMEOUT_MS = 28_000;

/** `poolMaxIdlePerHost` connections are kept idle. */
export type Connections = Pick<Deno.CreateHttpClientOptions, "poolMaxIdlePerHost" | "caCerts">;

export class Requests implements Disposable {
  readonly #connections: Connections;
  readonly #timeoutMs: number;
  readonly #deadlines: Deadlines;
  readonly #now: () => number;
  #client: Deno.HttpClient;

  /** `now` is the wall clock in ms. */
  constructor(connections: Connections, now: () => number, timeoutMs = REQUEST_TIMEOUT_MS) {
    this.#connections = connections;
    this.#timeoutMs = timeoutMs;
    this.#deadlines = new Deadlines(timeoutMs);
    this.#now = now;
    this.#client = Deno.createHttpClient(connections);
  }

  /** One attempt. `failed` answers, by one clause, for whatever the network does; throws only for a bug. */
  async send<T>(
    url: string,
    init: RequestInit,
    signal: AbortSignal,
    answered: (response: Response) => Promise<T>,
    failed: (reason: string) => T,
  ): Promise<T> {
    return await this.#deadlines.within(signal, async (limit) => {
      const client = this.#client;
      try {
        return await answered(await fetch(url, { ...init, redirect: "manual", signal: limit, client }));
      } catch (error) {
        if (signal.aborted) return failed("the agent is shutting down");
        if (!limit.aborted) return failed(networkFailure(error));
        this.#leave(client);
        return failed(`no answer within ${this.#timeoutMs / 1000} s`);
      }
    });
  }

  /** What an answer that is not 2xx means. `to` names the call, where several make one delivery. */
  refusal(response: Response, responseBody: string, to = ""): Retry | Rejected {
    const { status } = response;
    const reason = `ilert answered ${status}${to}`;
    const retryAfterMs = pauseAskedMs(response, this.#now());
    if (status === 429) return { kind: "retry", cause: "throttled", status, reason, retryAfterMs };
    if (status === 408) return { kind: "retry", cause: "timed_out", status, reason, retryAfterMs };
    if (status >= 500) return { kind: "retry", cause: "server_error", status, reason, retryAfterMs };
    return { kind: "rejected", status, reason, responseBody };
  }

  [Symbol.dispose](): void {
    this.#deadlines[Symbol.dispose]();
    this.#client.close();
  }

  /**
   * A connection of HTTP/2 that died without a word would get every further request, for minutes. Closing spares the
   * requests that are under way.
   */
  #leave(client: Deno.HttpClient): void {
    if (client !== this.#client) return;
    this.#client = Deno.createHttpClient(this.#connections);
    client.close();
  }
}

export type Rejected = Outcome & { kind: "rejected" };

/** A Retry-After with 5xx does not count: it is a guess, and would hold back what ilert takes long before. */
export function pauseAskedMs({ status, headers }: Response, now: number): number | null {
  return status === 429 ? parseRetryAfter(headers.get("retry-after"), now) : null;
}

export function unreachable(reason: string): Retry {
  return { kind: "retry", cause: "unreachable", status: null, reason, retryAfterMs: null };
}
