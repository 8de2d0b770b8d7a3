/** The connections of the Kafka client: what it may not reach is named, and what it leaves open can be closed. */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { readBuffer } from "../read_buffer.ts";

export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** What becomes of a connection to a broker that this thread has no right to reach. */
export type Refusal =
  | { kind: "fails"; onRefused: (address: string) => void }
  /** It leads to a broker that was reached instead. Enough for asking what every broker knows. */
  | { kind: "goes_elsewhere" };

export const CLOSED = "the client is closed";

export class KafkaSockets implements Disposable {
  readonly #refusal: Refusal;
  readonly #open = new Set<Socket>();
  #reached: Destination | null = null;
  #isDisposed = false;

  constructor(refusal: Refusal) {
    this.#refusal = refusal;
  }

  /** Throws where the connection may not even be tried; everything else is an event of the socket. */
  connect(destination: Destination, ssl: ConnectionOptions | null, onConnect: () => void): Socket {
    if (this.#isDisposed) throw new Error(CLOSED);
    const target = this.#permitted(destination);
    const { host } = target;
    const connected = () => {
      this.#reached = target;
      onConnect();
    };
    const reading = readBuffer((chunk) => socket.push(chunk));
    const socket: Socket = ssl === null ? connectTcp({ ...target, ...reading }, connected) : connectTls(
      { ...target, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl, ...reading },
      connected,
    );
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

  #permitted(destination: Destination): Destination {
    const address = addressOf(destination);
    if (Deno.permissions.querySync({ name: "net", host: address }).state === "granted") return destination;
    if (this.#refusal.kind === "fails") this.#refusal.onRefused(address);
    else if (this.#reached !== null) return this.#reached;
    throw new Error(`the agent has no right to reach the broker ${address}`);
  }
}

/** `host:port`. */
export function addressOf({ host, port }: Destination): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
