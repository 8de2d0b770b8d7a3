/** Another client of the broker, to publish to and to listen in on what the agent is tested with. */

import { Connection, type IncomingMessage } from "../../src/clients/mqtt/connection.ts";
import type { Qos } from "../../src/clients/mqtt/connect_wish.ts";
import { systemClock } from "../../src/runtime/clock.ts";

const NO_SIGNAL = new AbortController().signal;
const PIPELINED_MAX = 500;
let peers = 0;

/** After a brief connection mqtt.js may still have a timer of 0 ms under way, which would count as a leak. */
export function mqttAtRest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

export class MqttPeer implements AsyncDisposable {
  /** Payloads of what it has subscribed to, in the order of arrival. */
  readonly received: string[] = [];
  #connection!: Connection;

  static async connect(url: string, clientId = `peer-${peers++}`): Promise<MqttPeer> {
    const peer = new MqttPeer();
    const opening = await Connection.open(
      { url, clientId, username: null, password: null, tls: null, version: 5, session: "clean" },
      {
        opened: () => {},
        received: (message, connection) => peer.#receive(message, connection),
        released: () => {},
      },
      systemClock,
      NO_SIGNAL,
    );
    if (opening.kind !== "open") throw new Error(`No peer: ${JSON.stringify(opening)}`);
    peer.#connection = opening.connection;
    return peer;
  }

  async publish(topic: string, body: string, qos: Qos = 1): Promise<void> {
    const answer = await this.#connection.publish(topic, body, qos);
    if (answer.kind !== "accepted") throw new Error(`Not published: ${JSON.stringify(answer)}`);
  }

  /** Bodies `<prefix>0`, `<prefix>1` and so on. */
  async publishMany(
    topic: string,
    count: number,
    { qos = 1, prefix = "" }: { qos?: Qos; prefix?: string } = {},
  ) {
    const pending: Promise<void>[] = [];
    for (let n = 0; n < count; n++) {
      pending.push(this.publish(topic, `${prefix}${n}`, qos));
      if (pending.length >= PIPELINED_MAX) await pending.shift();
    }
    await Promise.all(pending);
  }

  async subscribe(filter: string, qos: Qos = 2): Promise<void> {
    await this.#connection.subscribe([filter], qos);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.leave();
    await mqttAtRest();
  }

  #receive(message: IncomingMessage, connection: Connection): void {
    this.received.push(new TextDecoder().decode(message.payload));
    if (message.qos > 0) connection.acknowledge([message]);
  }
}
