/** Requests to ilert that deliver something: their time limit, and what its answers and the network's failures mean. */

import type { Outcome, Retry } from "../domain/outcome.ts";
import { parseRetryAfter } from "../domain/retry_policy.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { networkFailure } from "../runtime/http_answers.ts";

const REQUEST_TIMEOUT_MS = 28_000;

export class Requests implements Disposable {
  readonly #client: Deno.HttpClient;
  readonly #deadlines = new Deadlines(REQUEST_TIMEOUT_MS);
  readonly #now: () => number;

  /** `connections` are kept idle per host; `now` is the wall clock in ms. */
  constructor(connections: number, now: () => number) {
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: connections });
    this.#now = now;
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
}

export type Rejected = Outcome & { kind: "rejected" };

/** A Retry-After with 5xx does not count: it is a guess, and would hold back what ilert takes long before. */
export function pauseAskedMs({ status, headers }: Response, now: number): number | null {
  return status === 429 ? parseRetryAfter(headers.get("retry-after"), now) : null;
}

export function unreachable(reason: string): Retry {
  return { kind: "retry", cause: "unreachable", status: null, reason, retryAfterMs: null };
}
