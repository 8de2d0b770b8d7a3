/** What the edge connector delivers to over HTTP, with the ways in which it can fail. */

import { type Listener, listenOnFreePort } from "./ilert_listener.ts";

export interface WebhookDelivery {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

/** A status, or a whole answer. Called with each delivery in turn. */
export type WebhookAnswer = (delivery: WebhookDelivery) => number | Response | Promise<number | Response>;

export class WebhookTarget implements AsyncDisposable {
  /** In arrival order, whatever was answered. */
  readonly arrived: WebhookDelivery[] = [];
  /** Those that were answered 2xx. */
  readonly taken: WebhookDelivery[] = [];
  answer: WebhookAnswer = () => 200;
  #port = 0;
  #listener: Listener | null = null;
  #released = Promise.withResolvers<number>();

  static async start(): Promise<WebhookTarget> {
    const target = new WebhookTarget();
    target.#listener = await listenOnFreePort((port) => target.#listen(port));
    target.#port = target.#listener.port;
    return target;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/events`;
  }

  /** The property `n` of what was taken, in order. */
  get numbers(): number[] {
    return this.taken.map(({ body }) => JSON.parse(body).n);
  }

  /** Takes requests and answers none of them until `release()` or `finishHanging()`. */
  hang(): void {
    this.answer = () => this.#released.promise;
  }

  /** Answers with 503 what hangs, and 200 from now on. */
  release(): void {
    this.finishHanging(503);
    this.answer = () => 200;
  }

  /** Answers what hangs; what comes next hangs too. */
  finishHanging(status: number): void {
    this.#released.resolve(status);
    this.#released = Promise.withResolvers();
  }

  async goDown(): Promise<void> {
    this.release();
    await this.#listener?.close();
    this.#listener = null;
  }

  comeBack(): void {
    this.#listener ??= this.#listen(this.#port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goDown();
  }

  #listen(port: number): Listener {
    const abort = new AbortController();
    const server = Deno.serve(
      { hostname: "127.0.0.1", port, signal: abort.signal, onListen() {} },
      (request) => this.#take(request),
    );
    return {
      port: server.addr.port,
      async close() {
        abort.abort();
        await server.finished;
      },
    };
  }

  async #take(request: Request): Promise<Response> {
    const body = await request.text();
    const { method, headers, url } = request;
    const delivery = { method, headers: new Headers(headers), path: new URL(url).pathname, body };
    this.arrived.push(delivery);
    const answer = await this.answer(delivery);
    const response = typeof answer === "number" ? new Response(null, { status: answer }) : answer;
    if (response.ok) this.taken.push(delivery);
    return response;
  }
}
