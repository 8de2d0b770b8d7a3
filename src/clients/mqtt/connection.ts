/**
 * One network connection to an MQTT broker, from CONNECT to its end. The only importer of mqtt.js.
 *
 *   connecting ──CONNACK──▶ open ──▶ closed
 *       └────────refused, lost──────────▲
 *
 * Each connection has an mqtt.js client of its own, so that nothing of a lost one (stores, queues, held packets) lives
 * on in the next. Two things are done around mqtt.js: it would acknowledge messages one at a time and, at QoS 2, before
 * anybody has seen them. So a message is taken when its packet is announced ("packetreceive"), handed on to mqtt.js as
 * if its QoS were 0, and acknowledged here, in four bytes, once its receiver has settled it. A contract test holds
 * mqtt.js to what this relies on: tests/clients/mqtt/connection_test.ts.
 */

import mqtt, { type IPublishPacket, type MqttClient, type Packet } from "mqtt";
import { connect as connectTcp } from "node:net";
import type { Clock } from "../../runtime/clock.ts";
import { every } from "../../runtime/every.ts";
import { readBuffer } from "../read_buffer.ts";
import { type ConnectWish, optionsOf, type ProtocolVersion, type Qos } from "./connect_wish.ts";
import { causeOf } from "./failure.ts";
import { Nudges } from "./nudges.ts";
import { type Grant, granted, type PublishAnswer, publishAnswerOf, reasonText } from "./reasons.ts";

export interface IncomingMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  /** Of QoS 1 and 2; 0 for QoS 0. */
  readonly packetId: number;
  /** The broker has sent it before. */
  readonly isRepeated: boolean;
}

/** What the connection reports as it happens, each before whatever the broker sent after it. */
export interface Intake {
  opened(connection: Connection): void;
  received(message: IncomingMessage, connection: Connection): void;
  /** The broker will not send this message of QoS 2 again. */
  released(packetId: number): void;
}

export type Opening =
  | { kind: "open"; connection: Connection }
  /** The broker does not speak this version of MQTT. */
  | { kind: "unsupported_version" }
  /** Closed without a word: what some old brokers do instead of the above. */
  | { kind: "unanswered"; reason: string }
  | { kind: "failed"; reason: string };

export type Closing =
  /** Another client with our client id has connected. */
  | { kind: "taken_over" }
  | { kind: "lost"; reason: string; isByBroker: boolean };

/** For a broker that does not close after a DISCONNECT. */
const DISCONNECT_TIMEOUT_MS = 1_000;

/** First bytes of packets without properties, the same in both versions; the remaining length follows. */
const PUBACK = 0x40, PUBREC = 0x50, DISCONNECT = 0xe0;
const SESSION_TAKEN_OVER = 0x8e, PACKET_TOO_LARGE = 0x95;
/** CONNACK: 1 is 3.1.1's code, also sent in answer to a CONNECT of 5. */
const UNSUPPORTED_VERSION: readonly number[] = [1, 0x84];

export class Connection {
  readonly version: ProtocolVersion;
  /** Resolves when the connection is over, whatever ended it. */
  readonly closed: Promise<Closing>;
  readonly #client: MqttClient;
  readonly #intake: Intake;
  readonly #clock: Clock;
  readonly #opening = Promise.withResolvers<Opening>();
  readonly #closing = Promise.withResolvers<Closing>();
  /** Ends of publishes without an answer. */
  readonly #unanswered = new Set<(answer: PublishAnswer) => void>();
  #connack: { sessionPresent: boolean; properties: Limits } | null = null;
  #cause: string | null = null;
  #refusal: number | null = null;
  #isTakenOver = false;
  #hasStream = false;
  #isLeaving = false;
  #isPaused = false;
  /** Since the keep-alive looked last. */
  #hasPaused = false;
  #looks: Disposable | null = null;
  #goOn: (() => void) | null = null;
  #lastRead: Uint8Array | null = null;
  readonly #nudges: Nudges;

  private constructor(wish: ConnectWish, intake: Intake, clock: Clock) {
    this.version = wish.version;
    this.closed = this.#closing.promise;
    this.#intake = intake;
    this.#clock = clock;
    this.#client = this.#clientFor(wish);
    this.#nudges = new Nudges(clock, {
      areDue: () => this.#unanswered.size > 0,
      ping: () => this.#client.sendPing(),
    });
    this.#client.on("packetreceive", (packet) => this.#look(packet));
    this.#client.on("connect", () => this.#opening.resolve({ kind: "open", connection: this }));
    this.#client.on("error", (error) => this.#failed(error));
    this.#client.on("close", () => this.#over());
    this.#client.handleMessage = (_packet, done) => {
      if (this.#isPaused) this.#goOn = done;
      else done();
    };
  }

  /** Never rejects. Aborting `signal` ends the attempt, not the connection. */
  static async open(
    wish: ConnectWish,
    intake: Intake,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<Opening> {
    const connection = new Connection(wish, intake, clock);
    const abort = () => connection.discard();
    signal.addEventListener("abort", abort, { once: true });
    connection.#connect();
    if (signal.aborted) abort();
    const opening = await connection.#opening.promise;
    signal.removeEventListener("abort", abort);
    return opening;
  }

  get sessionPresent(): boolean {
    return this.#connack?.sessionPresent ?? false;
  }

  /** Publishes of QoS 1 and 2 that the broker wants to have to acknowledge at a time. */
  get publishesMax(): number {
    return this.#connack?.properties.receiveMaximum ?? 0xffff;
  }

  /** Bytes of a packet that the broker takes; null where it does not say. */
  get packetBytesMax(): number | null {
    return this.#connack?.properties.maximumPacketSize ?? null;
  }

  get qosMax(): Qos {
    return this.#connack?.properties.maximumQoS === 0
      ? 0
      : this.#connack?.properties.maximumQoS === 1
      ? 1
      : 2;
  }

  /** MQTT 5, section 3.2.2.3.13: available unless the broker says otherwise. MQTT 3.1.1 has none. */
  get hasSharedSubscriptions(): boolean {
    return this.version === 5 && this.#connack?.properties.sharedSubscriptionAvailable !== false;
  }

  /** Lets the broker forget messages; in this order, which is to be that of their receipt. */
  acknowledge(messages: readonly { packetId: number; qos: Qos }[]): "written" | "closed" {
    if (this.#isLeaving || !this.#client.connected) return "closed";
    const bytes = new Uint8Array(messages.length * 4);
    messages.forEach(({ packetId, qos }, index) => {
      bytes.set([qos === 2 ? PUBREC : PUBACK, 2, packetId >> 8, packetId & 0xff], index * 4);
    });
    this.#client.stream.write(bytes);
    return "written";
  }

  /** Stops reading, so that the broker's own bounds apply; at most one message more is received. */
  pause(): void {
    this.#isPaused = true;
    this.#hasPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    const goOn = this.#goOn;
    this.#goOn = null;
    // What the broker has answered to our pings still waits to be read.
    this.#client.reschedulePing(true);
    goOn?.();
  }

  /** One grant for each filter, in their order; null where the connection was lost before the answer. */
  subscribe(filters: readonly string[], qos: Qos): Promise<Grant[] | null> {
    // 1: no retained messages for a subscription that the session already holds (MQTT 5 only).
    const wishes = Object.fromEntries(filters.map((filter) => [filter, { qos, rh: 1 }]));
    return new Promise((resolve) => {
      this.#client.subscribe(wishes, (_error, _wishes, packet) => {
        resolve(packet === undefined ? null : filters.map((_, index) => granted(packet.granted[index])));
      });
    });
  }

  /** "lost" where the connection ended before the answer. */
  unsubscribe(filters: readonly string[]): Promise<"done" | "lost"> {
    return new Promise((resolve) => {
      this.#client.unsubscribe([...filters], (error) => resolve(error ? "lost" : "done"));
    });
  }

  /** Resolves with the broker's answer to this very message; at QoS 0 when it is written. */
  publish(topic: string, body: string, qos: Qos): Promise<PublishAnswer> {
    return new Promise((resolve) => {
      if (this.#isLeaving || !this.#client.connected) return resolve({ kind: "lost" });
      this.#unanswered.add(resolve);
      this.#client.publish(topic, body, { qos }, (error) => {
        this.#unanswered.delete(resolve);
        resolve(publishAnswerOf(error));
        if (qos > 0) this.#nudges.answered();
      });
      if (qos > 0) this.#nudges.begin();
    });
  }

  /** Says goodbye; the session, where it is persistent, stays at the broker. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    if (this.#client.connected) {
      this.resume();
      this.#client.stream.end(Uint8Array.of(DISCONNECT, 0));
      const overdue = Promise.withResolvers<void>();
      const cancel = this.#clock.after(DISCONNECT_TIMEOUT_MS, overdue.resolve);
      await Promise.race([this.closed, overdue.promise]);
      cancel();
    }
    this.discard();
    await this.closed;
  }

  /** Cuts the connection without a word to the broker; `cause` is told to whoever waits for its end. */
  discard(cause: string | null = null): void {
    this.#cause ??= cause;
    this.#isLeaving = true;
    if (this.#hasStream) this.#client.end(true);
    this.#over();
  }

  #clientFor(wish: ConnectWish): MqttClient {
    const reading = readBuffer((chunk) => this.#client.stream.push(chunk));
    const options = { ...optionsOf(wish), ...reading, timerVariant: this.#keepAliveTimer() as never };
    // For TLS mqtt.js hands all options on to the socket, for plain TCP none but the address.
    if (options.protocol !== "mqtt") return mqtt.connect(options);
    const { host, port } = options;
    return new mqtt.MqttClient(() => connectTcp({ host, port, ...reading }), options);
  }

  #connect(): void {
    try {
      this.#client.connect();
      this.#hasStream = true;
      const { stream } = this.#client;
      // A ping that is to hasten the broker must not wait for it. A websocket sees to that itself.
      if (isSocket(stream)) stream.setNoDelay(true);
      // Errors without a code, such as a denied permission, mqtt.js keeps to itself.
      stream.on("error", (error: unknown) => this.#failed(error));
      // Before mqtt.js reads it, in case it cannot.
      stream.prependListener("data", (bytes: Uint8Array) => this.#lastRead = bytes);
    } catch (error) {
      this.#failed(error);
      this.discard();
    }
  }

  #look(packet: Packet): void {
    switch (packet.cmd) {
      case "connack": {
        const code = packet.reasonCode ?? packet.returnCode ?? 0;
        if (code !== 0) this.#refusal = code;
        else {
          this.#connack = { sessionPresent: packet.sessionPresent, properties: packet.properties ?? {} };
          this.#intake.opened(this);
        }
        break;
      }
      case "publish":
        this.#receive(packet);
        break;
      case "pubrel":
        this.#intake.released(packet.messageId ?? 0);
        break;
      case "disconnect": {
        const code = packet.reasonCode ?? 0;
        this.#isTakenOver = code === SESSION_TAKEN_OVER;
        this.#cause ??= `the broker ended the connection: ${reasonText(code)}`;
        break;
      }
    }
  }

  #receive(packet: IPublishPacket): void {
    const { topic, payload, qos, messageId = 0, dup } = packet;
    // From here on mqtt.js takes it for one that needs no acknowledgement.
    packet.qos = 0;
    // A copy: the original is a window on all that was read with it, and would hold on to that.
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : new Uint8Array(payload);
    this.#intake.received({ topic, payload: bytes, qos, packetId: messageId, isRepeated: dup }, this);
  }

  /** mqtt.js goes on after some errors, such as a packet that it could not read, with no good end. */
  #failed(error: unknown): void {
    this.#cause ??= causeOf(error);
    if (this.#unanswered.size > 0 && saysTooLarge(this.#lastRead)) this.#refuseOldest();
    if (this.#hasStream) this.#client.stream.destroy();
  }

  /** Brokers answer in the order of the publishes; those before it have their answer. */
  #refuseOldest(): void {
    this.#lastRead = null;
    const [oldest] = this.#unanswered;
    oldest?.({ kind: "refused", reason: reasonText(PACKET_TOO_LARGE), blames: "message" });
  }

  #over(): void {
    const reason = this.#cause ?? "the broker closed the connection";
    this.#opening.resolve(this.#failedOpening(reason));
    this.#closing.resolve(
      this.#isTakenOver
        ? { kind: "taken_over" }
        : { kind: "lost", reason, isByBroker: this.#cause === null && !this.#isLeaving },
    );
    this.#nudges.end();
    this.#looks?.[Symbol.dispose]();
    for (const resolve of this.#unanswered) resolve({ kind: "lost" });
    this.#unanswered.clear();
  }

  #failedOpening(reason: string): Opening {
    if (this.#refusal !== null && UNSUPPORTED_VERSION.includes(this.#refusal)) {
      return { kind: "unsupported_version" };
    }
    const isUnanswered = this.#cause === null && !this.#isLeaving;
    return isUnanswered ? { kind: "unanswered", reason } : { kind: "failed", reason };
  }

  /**
   * mqtt.js' keep-alive looks twice in each interval, pings, and gives up when no answer is read. Where we are the one
   * who did not read, only the ping is due. mqtt.js counts anew with each answer and each resume(); the looks go on at
   * their pace, or what comes more often than they do would put off every ping.
   */
  #keepAliveTimer() {
    let look: (() => void) | null = null;
    return {
      set: (next: () => void, intervalMs: number) => {
        look = next;
        this.#looks ??= every(intervalMs, this.#clock, () => {
          const hasPaused = this.#hasPaused;
          this.#hasPaused = this.#isPaused;
          if (look !== null && hasPaused) this.#client.sendPing();
          else look?.();
        });
        return next;
      },
      clear: () => look = null,
    };
  }
}

function isSocket(stream: object): stream is { setNoDelay(isOn: boolean): void } {
  return "setNoDelay" in stream;
}

interface Limits {
  receiveMaximum?: number;
  maximumPacketSize?: number;
  maximumQoS?: number;
  sharedSubscriptionAvailable?: boolean;
}

/**
 * Mosquitto answers a PUBLISH beyond its message_size_limit with this reason code, which MQTT 5 does not provide for
 * there (section 3.4.2.1), so that mqtt.js takes the packet for garbage and does not tell what it said.
 */
function saysTooLarge(bytes: Uint8Array | null): boolean {
  return bytes?.some((byte, at) =>
    (byte === PUBACK || byte === PUBREC) && (bytes[at + 1] ?? 0) >= 3 && bytes[at + 4] === PACKET_TOO_LARGE
  ) ?? false;
}
