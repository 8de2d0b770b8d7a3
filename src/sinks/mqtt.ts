/** Publishes edge items to a topic of an MQTT broker. Contract §5: what counts is the broker's answer to that very packet. */

import type { Connection } from "../clients/mqtt/connection.ts";
import { Link, type LinkDeps } from "../clients/mqtt/link.ts";
import type { PublishAnswer } from "../clients/mqtt/reasons.ts";
import type { MqttConnection } from "../clients/mqtt_connection.ts";
import { type EdgeItem, factsOf } from "../domain/edge_item.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

export interface MqttSinkConfig {
  connection: MqttConnection;
  topic: string;
  qos: 0 | 1 | 2;
}

/** Contract §5: for a connection, and for the acknowledgement of each packet, from when it was published. */
const ANSWER_TIMEOUT_MS = 10_000;
/** A broker that answers sooner may have one more packet to answer; what is under way is then over about as soon. */
const QUICK_ANSWER_MS = 500;
/** Of a PUBLISH beside topic and payload: header, lengths, packet id, properties. */
const PACKET_OVERHEAD_BYTES = 16;

const SHUTTING_DOWN = "the agent is shutting down";

interface Publish {
  alertId: string;
  /** When it was published, by the monotonic clock. */
  at: number;
  outcome: Promise<SinkOutcome>;
}

export class MqttSink implements Sink {
  readonly itemsMax = 100;
  readonly #topic: string;
  readonly #qos: 0 | 1 | 2;
  readonly #clock: Clock;
  readonly #link: Link;
  #onConnected: (() => void) | null = null;
  /**
   * Publishes that may be under way. As long as it is known that they are soon over, a batch that is broken off ends
   * soon, and a refusal repeats few.
   */
  #underWayMax = 1;
  /**
   * After a lost connection items go one by one, until a batch has gone through: a broker that cuts the connection
   * because of one item, in the middle of others, takes its own explanation with it.
   */
  #isCautious = false;

  /** `clientId` is the whole one, `<name>-edge`. Connects from now on. */
  constructor({ connection, topic, qos }: MqttSinkConfig, clientId: string, deps: LinkDeps) {
    this.#topic = topic;
    this.#qos = qos;
    this.#clock = deps.clock;
    this.#link = new Link(connection, clientId, "clean", {
      connected: () => this.#onConnected?.(),
      opened: () => {},
      received: () => {},
      released: () => {},
      lost: () => {},
    }, deps);
    this.#link.start();
  }

  async *deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    const connection = await this.#connection(signal);
    if (connection === null) {
      yield retry(signal.aborted ? SHUTTING_DOWN : `not connected to the broker: ${this.#link.error}`);
      return;
    }
    if (connection.qosMax < this.#qos) {
      yield retry(`the broker takes messages up to QoS ${connection.qosMax} only`);
      return;
    }
    for await (const outcome of this.#publishAll(items, connection, signal, mayGoOn)) {
      yield outcome;
      if (outcome.kind === "retry") return;
    }
    this.#isCautious = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.stop();
  }

  async #connection(signal: AbortSignal): Promise<Connection | null> {
    if (signal.aborted) return null;
    const connected = new Promise<void>((resolve) => this.#onConnected = resolve);
    if (this.#link.connection === null) await this.#within(ANSWER_TIMEOUT_MS, connected, signal);
    return this.#link.connection;
  }

  /** Pipelined, in order; an item waits only for the one before it of the same alert, which might have to be repeated. */
  async *#publishAll(
    items: readonly EdgeItem[],
    connection: Connection,
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    const underWay: Publish[] = [];
    let hasFailed = false;
    for (const [at, item] of items.entries()) {
      while (this.#hasToWait(item, underWay, connection)) {
        const oldest = underWay.shift();
        if (oldest !== undefined) yield await this.#settle(oldest, connection, signal);
      }
      if (hasFailed || (at > 0 && !mayGoOn())) break;
      const publish = this.#publish(item, connection);
      void publish.outcome.then(({ kind }) => hasFailed ||= kind === "retry");
      underWay.push(publish);
    }
    for (const publish of underWay) yield await this.#settle(publish, connection, signal);
  }

  #hasToWait(item: EdgeItem, underWay: readonly Publish[], connection: Connection): boolean {
    if (underWay.length >= Math.min(this.#underWayMax, connection.publishesMax)) return true;
    const { alertId } = factsOf(item);
    return this.#qos > 0 && alertId !== "" && underWay.some((before) => before.alertId === alertId);
  }

  #publish(item: EdgeItem, connection: Connection): Publish {
    const { alertId } = factsOf(item);
    const at = this.#clock.monotonic();
    const bytesMax = connection.packetBytesMax;
    if (bytesMax !== null && this.#bytesOf(item) > bytesMax) {
      const outcome = Promise.resolve(rejected(`the broker takes packets of up to ${bytesMax} bytes`));
      return { alertId, at, outcome };
    }
    const outcome = connection.publish(this.#topic, item.body, this.#qos).then((answer) => {
      this.#learnFrom(answer, this.#clock.monotonic() - at);
      return outcomeOf(answer);
    });
    return { alertId, at, outcome };
  }

  #learnFrom({ kind }: PublishAnswer, tookMs: number): void {
    if (kind === "lost") this.#isCautious = true;
    const isQuick = kind === "accepted" && tookMs < QUICK_ANSWER_MS;
    this.#underWayMax = isQuick && !this.#isCautious ? Math.min(this.#underWayMax + 1, this.itemsMax) : 1;
  }

  /** The broker's answer to that very packet, or a retry where it takes too long. */
  async #settle(publish: Publish, connection: Connection, signal: AbortSignal): Promise<SinkOutcome> {
    const leftMs = publish.at + ANSWER_TIMEOUT_MS - this.#clock.monotonic();
    const outcome = await this.#within(leftMs, publish.outcome, signal);
    if (outcome !== null) return outcome;
    if (signal.aborted) return retry(SHUTTING_DOWN);
    const seconds = ANSWER_TIMEOUT_MS / 1000;
    // Its late answers must not be taken for those of the next attempt.
    connection.discard(`the agent closed the connection: no acknowledgement within ${seconds} s`);
    return retry(`no acknowledgement from the broker within ${seconds} s`);
  }

  /** Null where the time was over, or `signal` aborted, before it resolved. */
  async #within<T>(ms: number, work: Promise<T>, signal: AbortSignal): Promise<T | null> {
    const { promise: over, resolve } = Promise.withResolvers<null>();
    const end = () => resolve(null);
    const cancel = this.#clock.after(ms, end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    try {
      return await Promise.race([work, over]);
    } finally {
      cancel();
      signal.removeEventListener("abort", end);
    }
  }

  #bytesOf(item: EdgeItem): number {
    return new TextEncoder().encode(this.#topic + item.body).length + PACKET_OVERHEAD_BYTES;
  }
}

function outcomeOf(answer: PublishAnswer): SinkOutcome {
  switch (answer.kind) {
    case "accepted":
      return { kind: "delivered" };
    case "lost":
      return retry("the connection to the broker was lost before its acknowledgement");
    case "refused": {
      const reason = `the broker refuses it: ${answer.reason}`;
      return answer.blames === "message" ? rejected(reason) : retry(reason);
    }
  }
}

function rejected(reason: string): SinkOutcome {
  return { kind: "rejected", status: null, reason, responseBody: null };
}

function retry(reason: string): SinkOutcome {
  return { kind: "retry", reason };
}
