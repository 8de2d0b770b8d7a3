/** The connections of the Kafka client: what it may not reach is named, and what it leaves open can be closed. */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

export interface Destination {
  host: string;
  port: number;
  ssl: ConnectionOptions | null;
  onConnect: () => void;
}

const CLOSED = "the client is closed";

export class KafkaSockets implements Disposable {
  readonly #onRefused: (address: string) => void;
  readonly #open = new Set<Socket>();
  #isDisposed = false;

  /** `onRefused` is told `host:port` of a broker that this thread has no right to reach. */
  constructor(onRefused: (address: string) => void) {
    this.#onRefused = onRefused;
  }

  /** Throws where the connection may not even be tried; everything else is an event of the socket. */
  connect({ host, port, ssl, onConnect }: Destination): Socket {
    if (this.#isDisposed) throw new Error(CLOSED);
    const address = addressOf(host, port);
    if (Deno.permissions.querySync({ name: "net", host: address }).state !== "granted") {
      this.#onRefused(address);
      throw new Error(`the agent has no right to reach the broker ${address}`);
    }
    const socket = ssl === null
      ? connectTcp({ host, port }, onConnect)
      : connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect);
    // Small requests whose answers are waited for.
    socket.setNoDelay(true);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    return socket;
  }

  /** Ends what the client, in the midst of a failing connection, would have waited for. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    // Without an error kafkajs would wait on.
    for (const socket of this.#open) socket.destroy(new Error(CLOSED));
  }
}

export function addressOf(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
