/**
 * Two ways to listen, one handler. Deno.serve is the fast one, but hands out no connection: a handler can
 * neither reset it nor write its own bytes, throwing answers 500, and a failing body stream ends in a FIN.
 * node:http does hand out the socket, and resetAndDestroy() on it is a true RST, so that one serves when raw
 * faults are wanted. No relay in front is needed, and both give the agent the same answers.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

const FREE_PORTS: PortRange = { min: 20_000, max: 32_000 };
const FREE_PORT_ATTEMPTS_MAX = 100;

export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  header(name: string): string | null;
  /** Rejects when the client leaves before its body is complete. */
  text(): Promise<string>;
  /**
   * Fires when the client leaves before it is answered. Ask for it only where needed: it is not free, and
   * Deno.serve prints a warning, once per process, when a request is answered whose signal was asked for.
   */
  clientGone(): AbortSignal;
}

export type Answer =
  | { kind: "respond"; status: number; headers: Record<string, string>; body: string | null }
  | { kind: "reset" | "resetMidBody" | "notHttp" }
  /** Nobody is there to read it. */
  | { kind: "gone" };

export type Handler = (exchange: Exchange) => Promise<Answer>;

export interface Listener {
  readonly port: number;
  /** Refuses new connections and cuts the established ones, answered or not. */
  close(): Promise<void>;
}

/** From `min` up to, but not with, `max`. */
export interface PortRange {
  min: number;
  max: number;
}

export interface Address {
  hostname: string;
  port: number;
}

/** Throws Deno.errors.AddrInUse. */
export function listenFast({ hostname, port }: Address, handler: Handler): Listener {
  const abort = new AbortController();
  const server = Deno.serve(
    { hostname, port, signal: abort.signal, onListen() {} },
    async (request) => responseOf(await handler(new FetchExchange(request))),
  );
  return {
    port: server.addr.port,
    async close() {
      abort.abort();
      await server.finished;
    },
  };
}

/** Throws Deno.errors.AddrInUse. */
export async function listenRaw({ hostname, port }: Address, handler: Handler): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => void serve(request, response, handler));
  server.keepAliveTimeout = 0; // Idle connections stay, as with the fast listener.
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // The client's own resets are its business.
  });
  server.on("clientError", (_error, socket) => socket.destroy());

  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(isAddressInUse(error) ? new Deno.errors.AddrInUse() : error));
    server.listen(port, hostname, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * Below the range from which Linux takes the ports of outgoing connections. On a port of that range, while the
 * emulator is down, another connection could take it, or a client that keeps dialling could reach itself.
 */
export async function listenOnFreePort(
  listen: (port: number) => Listener | Promise<Listener>,
  { min, max } = FREE_PORTS,
): Promise<Listener> {
  for (let attempt = 1;; attempt++) {
    const port = min + Math.floor(Math.random() * (max - min));
    try {
      return await listen(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse) || attempt === FREE_PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

class FetchExchange implements Exchange {
  readonly #request: Request;

  constructor(request: Request) {
    this.#request = request;
  }

  get method(): string {
    return this.#request.method;
  }

  /** Cut out of the text: a URL object per request costs more than the rest of the hot path. */
  get target(): string {
    const { url } = this.#request;
    return url.slice(url.indexOf("/", "http://".length));
  }

  header(name: string): string | null {
    return this.#request.headers.get(name);
  }

  text(): Promise<string> {
    return this.#request.text();
  }

  clientGone(): AbortSignal {
    return this.#request.signal;
  }
}

function responseOf(answer: Answer): Response {
  if (answer.kind === "respond") return new Response(answer.body, answer);
  return new Response(null, { status: 503 });
}

async function serve(request: IncomingMessage, response: ServerResponse, handler: Handler): Promise<void> {
  const { socket } = request;
  const answer = await handler({
    method: request.method ?? "GET",
    target: request.url ?? "/",
    header: (name) => request.headersDistinct[name]?.[0] ?? null,
    text: () => textOf(request),
    clientGone: () => closed(socket),
  });
  switch (answer.kind) {
    case "respond":
      response.writeHead(answer.status, answer.headers);
      response.end(answer.body ?? undefined);
      return;
    case "reset":
      socket.resetAndDestroy();
      return;
    case "resetMidBody":
      response.writeHead(202, { "content-type": "application/json", "content-length": "100" });
      response.write('{"alertKey":', () => socket.resetAndDestroy());
      return;
    case "notHttp":
      socket.end("220 mail.example ESMTP ready\r\n");
      return;
    case "gone":
      socket.destroy();
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk as Uint8Array);
  return new TextDecoder().decode(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function closed(socket: Socket): AbortSignal {
  const gone = new AbortController();
  if (socket.destroyed) gone.abort();
  else socket.once("close", () => gone.abort());
  return gone.signal;
}

function isAddressInUse(error: Error): boolean {
  return "code" in error && error.code === "EADDRINUSE";
}
