/**
 * A network to break between a client and a server, both on this machine.
 *
 *     healed ──cut()──▶ cut: connections end, new ones are refused
 *     healed ──stall()──▶ stalled: connections stay and new ones are accepted, but nothing passes, or no answer does
 *     cut, stalled ──heal()──▶ healed: what a stall held back arrives now
 *     any ──strand()──▶ the same, but the connections so far swallow everything until they are cut
 */

import { freePort } from "./agent_process.ts";

const HOST = "127.0.0.1";
const CHUNK_BYTES = 64 * 1024;

export class NetworkProxy implements AsyncDisposable {
  readonly port: number;
  readonly #work = new Set<Promise<void>>();
  #targetPort: number;
  #listener: Deno.TcpListener | null = null;
  /** Of the connections since the last heal(). */
  #cut = new AbortController();
  /** Of the connections since the last strand(). */
  #strand = new AbortController();
  #stalled: PromiseWithResolvers<void> | null = null;
  #stalledAnswers: PromiseWithResolvers<void> | null = null;

  private constructor(port: number, targetPort: number) {
    this.port = port;
    this.#targetPort = targetPort;
    this.#listen();
  }

  /** A target that is not known yet, as with a broker that must advertise this proxy, can be told later. */
  static async start(targetPort = 0, port?: number): Promise<NetworkProxy> {
    return new NetworkProxy(port ?? await freePort(), targetPort);
  }

  /** For the connections to come. */
  forwardTo(targetPort: number): void {
    this.#targetPort = targetPort;
  }

  cut(): void {
    this.#listener?.close();
    this.#listener = null;
    this.#cut.abort();
    this.#flow();
  }

  stall(): void {
    this.#stalled ??= Promise.withResolvers();
    this.stallAnswers();
  }

  /** The server still gets what the clients say. */
  stallAnswers(): void {
    this.#stalledAnswers ??= Promise.withResolvers();
  }

  strand(): void {
    this.#strand.abort();
    this.#strand = new AbortController();
  }

  heal(): void {
    this.#flow();
    if (this.#listener === null) this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #flow(): void {
    this.#stalled?.resolve();
    this.#stalled = null;
    this.#stalledAnswers?.resolve();
    this.#stalledAnswers = null;
  }

  #listen(): void {
    this.#listener = Deno.listen({ hostname: HOST, port: this.port });
    this.#cut = new AbortController();
    this.#own(this.#accept(this.#listener, this.#cut.signal));
  }

  #own(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  async #accept(listener: Deno.TcpListener, cut: AbortSignal): Promise<void> {
    for await (const client of listener) this.#own(this.#forward(client, cut));
  }

  async #forward(client: Deno.TcpConn, cut: AbortSignal): Promise<void> {
    const open = [client];
    const { signal: stranded } = this.#strand;
    const never = { promise: new Promise<void>((resolve) => cut.addEventListener("abort", () => resolve())) };
    const close = () => {
      for (const connection of open.splice(0)) connection.close();
    };
    cut.addEventListener("abort", close);
    try {
      await this.#stalled?.promise;
      const server = await Deno.connect({ hostname: HOST, port: this.#targetPort });
      open.push(server);
      cut.throwIfAborted();
      const requests = this.#pass(client, server, () => stranded.aborted ? never : this.#stalled);
      const answers = this.#pass(server, client, () => stranded.aborted ? never : this.#stalledAnswers);
      await Promise.all([requests.catch(close), answers.catch(close)]);
    } catch {
      // Cut, or nobody is at the target: the client sees the end of its connection.
    } finally {
      cut.removeEventListener("abort", close);
      close();
    }
  }

  async #pass(
    from: Deno.TcpConn,
    to: Deno.TcpConn,
    stalled: () => { promise: Promise<void> } | null,
  ): Promise<void> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      const length = await from.read(buffer);
      await stalled()?.promise;
      if (length === null) return await to.closeWrite();
      for (let sent = 0; sent < length;) sent += await to.write(buffer.subarray(sent, length));
    }
  }
}
