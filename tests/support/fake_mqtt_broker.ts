/**
 * A broker of a few lines, for what a real one cannot be made to do. It accepts everything and forgets it;
 * `answers` says where it is to behave otherwise.
 */

import { freePort } from "./agent_process.ts";

export interface MqttPacket {
  type: number;
  flags: number;
  body: Uint8Array;
  /** With its header. */
  bytes: number;
}

/** Bytes to send back; null to close the connection instead. */
type Answer = (packet: MqttPacket, version: number) => readonly number[] | null;

/** Types of packets. */
export const CONNECT = 1, PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7;
export const SUBSCRIBE = 8, UNSUBSCRIBE = 10, PINGREQ = 12, DISCONNECT = 14;

export class FakeMqttBroker implements AsyncDisposable {
  readonly url: string;
  /** All that came, of all connections. */
  readonly packets: MqttPacket[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #answers: ReadonlyMap<number, Answer>;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #work = new Set<Promise<void>>();
  connectionsMade = 0;

  private constructor(listener: Deno.TcpListener, answers: Readonly<Record<number, Answer>>) {
    this.#listener = listener;
    this.url = `mqtt://127.0.0.1:${listener.addr.port}`;
    this.#answers = new Map(
      Object.entries({ ...DEFAULT_ANSWERS, ...answers }).map(([type, answer]) => [Number(type), answer]),
    );
    this.#own(this.#accept());
  }

  static async start(answers: Readonly<Record<number, Answer>> = {}): Promise<FakeMqttBroker> {
    return new FakeMqttBroker(Deno.listen({ hostname: "127.0.0.1", port: await freePort() }), answers);
  }

  of(type: number): MqttPacket[] {
    return this.packets.filter((packet) => packet.type === type);
  }

  /** To every connection. */
  async send(bytes: readonly number[]): Promise<void> {
    for (const connection of this.#connections) await connection.write(Uint8Array.from(bytes));
  }

  disconnectAll(): void {
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.disconnectAll();
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #own(work: Promise<void>): void {
    const owned = work.catch(() => {}).finally(() => this.#work.delete(owned));
    this.#work.add(owned);
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.connectionsMade++;
      this.#connections.add(connection);
      this.#own(this.#serve(connection));
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    let unread = new Uint8Array(), version = 5;
    const chunk = new Uint8Array(64 * 1024);
    for (let length = await connection.read(chunk); length !== null; length = await connection.read(chunk)) {
      unread = Uint8Array.from([...unread, ...chunk.subarray(0, length)]);
      for (let packet = firstOf(unread); packet !== null; packet = firstOf(unread)) {
        unread = unread.slice(packet.bytes);
        this.packets.push(packet);
        if (packet.type === CONNECT) version = versionOf(packet);
        const answer = this.#answers.get(packet.type)?.(packet, version);
        if (answer === null) return this.#close(connection);
        await connection.write(Uint8Array.from(answer ?? []));
      }
    }
    this.#close(connection);
  }

  #close(connection: Deno.TcpConn): void {
    if (this.#connections.delete(connection)) connection.close();
  }
}

/** CONNECT: protocol name (2 + 4 bytes), then the level. */
export function versionOf({ body }: MqttPacket): number {
  return body[6] ?? 0;
}

/** Of SUBSCRIBE, UNSUBSCRIBE, PUBREC, PUBREL and the acknowledgements. */
export function packetIdOf({ body }: MqttPacket): number[] {
  return [...body.subarray(0, 2)];
}

/** Of a PUBLISH of QoS 1 or 2. */
export function publishedIdOf({ body }: MqttPacket): number[] {
  const topicLength = (body[0] ?? 0) * 256 + (body[1] ?? 0);
  return [...body.subarray(2 + topicLength, 4 + topicLength)];
}

/** For one topic filter. */
export function suback(packet: MqttPacket, version: number, code: number): number[] {
  const id = packetIdOf(packet);
  return version === 5 ? [0x90, 4, ...id, 0, code] : [0x90, 3, ...id, code];
}

const DEFAULT_ANSWERS: Readonly<Record<number, Answer>> = {
  [CONNECT]: (_packet, version) => version === 5 ? [0x20, 3, 0, 0, 0] : [0x20, 2, 0, 0],
  [PUBLISH]: (packet) => (packet.flags & 0b0110) === 0 ? [] : [0x40, 2, ...publishedIdOf(packet)],
  [SUBSCRIBE]: (packet, version) => suback(packet, version, 1),
  [UNSUBSCRIBE]: (packet, version) =>
    version === 5 ? [0xb0, 4, ...packetIdOf(packet), 0, 0] : [0xb0, 2, ...packetIdOf(packet)],
  [PINGREQ]: () => [0xd0, 0],
};

function firstOf(bytes: Uint8Array): MqttPacket | null {
  let length = 0;
  for (let at = 1; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    length += (byte & 0x7f) * 128 ** (at - 1);
    if ((byte & 0x80) !== 0) continue;
    const end = at + 1 + length;
    if (bytes.length < end) return null;
    const head = bytes[0] ?? 0;
    return { type: head >> 4, flags: head & 0xf, body: bytes.slice(at + 1, end), bytes: end };
  }
  return null;
}
