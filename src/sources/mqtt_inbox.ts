/**
 * The messages that the broker has handed over and may not forget yet.
 *
 *   received ──▶ settled ──▶ acknowledged ──▶ forgotten
 *                            (QoS 1: at once; QoS 2: when the broker releases the packet id; QoS 0: has no such states)
 *
 * Acknowledgements leave in the order of receipt (MQTT 5, section 4.6). When the connection changes, those still held
 * are dropped, as the broker sends these messages again; one that it repeats while its first copy is still with the
 * receiver, or was settled meanwhile, waits for that copy instead of being received twice.
 */

import { RECEIVE_MAX } from "../clients/mqtt/connect_wish.ts";
import type { Connection, IncomingMessage } from "../clients/mqtt/connection.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { NextTurn } from "../runtime/next_turn.ts";
import type { MessageReceiver } from "./message.ts";

interface Held {
  readonly packetId: number;
  readonly qos: 0 | 1 | 2;
  readonly topic: string;
  /** Null once acknowledged. */
  payload: Uint8Array | null;
  state: "received" | "settled" | "acknowledged";
  /** Counts against the bounds: with the receiver, or held back by those before it. */
  isCounted: boolean;
}

/**
 * Received and neither settled nor acknowledged, whatever the QoS; beyond it reading stops. Above what a broker of MQTT 5 may send at once,
 * so that its answers to our pings are read while the receiver stands still.
 */
export const HELD_MAX = 2 * RECEIVE_MAX;
export const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** Of the bounds: reading goes on below it. */
const RESUME_BELOW = 0.75;
/** A receiver that rejects is a bug; its message is never lost for it. */
const BUG_RETRY_MS = 1_000;

export class MqttInbox implements Disposable {
  readonly #receiver: MessageReceiver;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #nextTurn = new NextTurn(() => this.#acknowledge());
  #connection: Connection | null = null;
  /** Of the broker's session, by packet id. */
  #session = new Map<number, Held>();
  /** Of this connection, in the order of receipt, not yet acknowledged. */
  #order = new Set<Held>();
  #held = 0;
  #heldBytes = 0;
  #inFlight = 0;
  #isPaused = false;
  #isClosed = false;
  #idle: (() => void) | null = null;

  constructor(receiver: MessageReceiver, { clock, log }: { clock: Clock; log: Log }) {
    this.#receiver = receiver;
    this.#clock = clock;
    this.#log = log;
  }

  /** With the receiver. */
  get inFlight(): number {
    return this.#inFlight;
  }

  opened(connection: Connection): void {
    this.#connection = connection;
    this.#beginOrder(connection.sessionPresent);
    if (this.#isPaused) connection.pause();
  }

  lost(): void {
    this.#connection = null;
  }

  received(message: IncomingMessage): void {
    if (this.#isClosed) return;
    const { packetId, qos, topic, payload } = message;
    const held: Held = { packetId, qos, topic, payload, state: "received", isCounted: true };
    if (qos > 0) {
      const known = this.#session.get(packetId);
      if (known !== undefined && isRepeated(message, known)) return this.#takeUp(known);
      if (known !== undefined) this.#orphan(known);
      this.#session.set(packetId, held);
      this.#order.add(held);
    }
    this.#held++;
    this.#heldBytes += payload.length;
    this.#inFlight++;
    this.#pauseOrResume();
    this.#receive(held, payload);
  }

  released(packetId: number): void {
    if (this.#session.get(packetId)?.state === "acknowledged") this.#session.delete(packetId);
  }

  /** Receives no more, and resolves when the receiver has settled what it has, or was told to give up at `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    if (this.#inFlight > 0) {
      const idle = new Promise<void>((resolve) => this.#idle = resolve);
      const cancel = this.#clock.after(timeoutMs, () => this.#abort.abort());
      await idle;
      cancel();
    }
    this.#acknowledge();
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    this.#nextTurn[Symbol.dispose]();
  }

  #takeUp(known: Held): void {
    if (known.state === "acknowledged") known.state = "settled";
    this.#order.add(known);
    this.#nextTurn.request();
  }

  /**
   * Kept of the session is what the broker may repeat: what was not acknowledged on the connection before, and what of
   * QoS 2 it has not released. A settled message that was not even repeated there has gone to another client.
   */
  #beginOrder(isSessionPresent: boolean): void {
    const before = this.#order, session = this.#session;
    this.#order = new Set();
    // Without the session the broker gives packet ids anew.
    this.#session = new Map();
    for (const [packetId, held] of session) {
      if (held.state === "settled") this.#uncount(held);
      const mayBeRepeated = held.state !== "settled" || before.has(held);
      if (isSessionPresent && mayBeRepeated) this.#session.set(packetId, held);
    }
  }

  /** Its packet id has been given anew; what the receiver still has of it settles without an acknowledgement. */
  #orphan(held: Held): void {
    this.#order.delete(held);
    if (held.state === "settled") this.#uncount(held);
  }

  #receive(held: Held, payload: Uint8Array): void {
    const { topic } = held;
    this.#receiver.receive({ topic, payload, key: null }, this.#abort.signal).then(
      () => this.#settled(held),
      (error: unknown) => this.#rejected(held, payload, error),
    );
  }

  #settled(held: Held): void {
    held.state = "settled";
    if (this.#order.has(held)) this.#nextTurn.request();
    else this.#uncount(held);
    this.#gone();
  }

  #rejected(held: Held, payload: Uint8Array, error: unknown): void {
    if (this.#abort.signal.aborted) return this.#gone();
    this.#log.error("A message from MQTT topic {topic} could not be received, which is a bug: {reason}", {
      topic: held.topic,
      reason: failureOf(error),
    });
    this.#clock.after(BUG_RETRY_MS, () => this.#receive(held, payload));
  }

  #gone(): void {
    this.#inFlight--;
    if (this.#inFlight === 0) this.#idle?.();
  }

  /** Settled first, acknowledged second. */
  #acknowledge(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const settled: Held[] = [];
    for (const held of this.#order) {
      if (held.state !== "settled") break;
      settled.push(held);
    }
    if (settled.length === 0 || connection.acknowledge(settled) === "closed") return;
    for (const held of settled) {
      this.#order.delete(held);
      held.state = "acknowledged";
      if (held.qos === 1) this.#session.delete(held.packetId);
      this.#uncount(held);
      held.payload = null;
    }
  }

  #uncount(held: Held): void {
    if (!held.isCounted) return;
    held.isCounted = false;
    this.#held--;
    this.#heldBytes -= held.payload?.length ?? 0;
    this.#pauseOrResume();
  }

  #pauseOrResume(): void {
    const fill = Math.max(this.#held / HELD_MAX, this.#heldBytes / HELD_BYTES_MAX);
    if (!this.#isPaused && fill >= 1) {
      this.#isPaused = true;
      this.#connection?.pause();
    } else if (this.#isPaused && fill < RESUME_BELOW) {
      this.#isPaused = false;
      this.#connection?.resume();
    }
  }
}

/** A packet id alone may have been given anew, by a broker that came back with an older state of itself. */
function isRepeated(message: IncomingMessage, known: Held): boolean {
  if (!message.isRepeated || message.qos !== known.qos || message.topic !== known.topic) return false;
  const { payload } = known;
  if (payload === null) return true;
  return payload.length === message.payload.length &&
    payload.every((byte, index) => byte === message.payload[index]);
}
