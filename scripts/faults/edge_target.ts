/** A webhook that can fail in every way a target can, down to its bytes; it keeps what arrived, in order. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { freePort } from "../../tests/support/agent_process.ts";
import { WaitingRoom } from "../../tests/support/waiting_room.ts";

export type Reply =
  | { kind: "status"; status: number; afterMs?: number }
  /** RST instead of an answer; an answer that breaks off in its head; no HTTP at all; nothing, for ever. */
  | { kind: "reset" | "halfAnswer" | "notHttp" | "silence" };

export interface Arrival {
  /** The last part of the URL: which agent sent it. */
  readonly from: string;
  /** The item's id. */
  readonly number: number;
  /** performance.now() */
  readonly at: number;
  /** Whether it was answered 2xx; false before the answer. */
  isTaken: boolean;
}

const HOST = "127.0.0.1";
export const TAKEN: Reply = { kind: "status", status: 200 };

export class EdgeTarget implements AsyncDisposable {
  readonly arrivals: Arrival[] = [];
  /** Asked with each arrival; `attempt` counts those of this item from this agent. */
  reply: (arrival: Arrival, attempt: number) => Reply = () => TAKEN;
  readonly #port: number;
  readonly #attempts = new Map<string, number>();
  readonly #waiting = new WaitingRoom();
  #server: Server | null = null;

  private constructor(port: number) {
    this.#port = port;
  }

  /** Nobody listens yet. */
  static async create(): Promise<EdgeTarget> {
    return new EdgeTarget(await freePort());
  }

  static async start(): Promise<EdgeTarget> {
    const target = await EdgeTarget.create();
    await target.comeBack();
    return target;
  }

  url(from: string): string {
    return `http://${HOST}:${this.#port}/${from}`;
  }

  async comeBack(): Promise<void> {
    const server = this.#server = createServer((request, response) => this.#take(request, response));
    await new Promise<void>((resolve) => server.listen(this.#port, HOST, resolve));
  }

  /** Connections are cut, and refused from now on. */
  async goDown(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  /** Looked at after each answer. */
  async until(isMet: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const describe = () => `Not within ${timeoutMs} ms: ${what}; ${this.arrivals.length} items arrived`;
    await this.#waiting.until(isMet, { timeoutMs, describe });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goDown();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const from = request.url?.split("/").at(-1) ?? "";
    const number = Number(request.headers["x-ilert-edge-item-id"]);
    const at = performance.now();
    request.on("end", () => {
      const arrival = { from, number, at, isTaken: false };
      const attempt = (this.#attempts.get(`${from} ${number}`) ?? 0) + 1;
      this.#attempts.set(`${from} ${number}`, attempt);
      this.arrivals.push(arrival);
      answer(response, this.reply(arrival, attempt), () => arrival.isTaken = true);
      this.#waiting.check();
    });
    request.resume();
  }
}

function answer(response: ServerResponse, reply: Reply, onTaken: () => void): void {
  const { socket } = response;
  switch (reply.kind) {
    case "status": {
      const { status, afterMs = 0 } = reply;
      const end = () => {
        if (status >= 200 && status < 300) onTaken();
        // What is below 200 announces an answer; this one never comes.
        if (status < 200) socket?.end(`HTTP/1.1 ${status} Wait\r\n\r\n`);
        else response.writeHead(status).end();
      };
      if (afterMs === 0) end();
      else setTimeout(end, afterMs);
      break;
    }
    case "reset":
      socket?.resetAndDestroy();
      break;
    case "halfAnswer":
      socket?.end("HTTP/1.1 200 OK\r\ncontent-le");
      break;
    case "notHttp":
      socket?.end("220 mail.example.com ESMTP\r\n");
      break;
    case "silence":
      break;
  }
}
