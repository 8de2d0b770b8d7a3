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

/** Contract §5: for a connection, and for the next acknowledgement. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Of a PUBLISH beside topic and payload: header, lengths, packet id, properties. */
const PACKET_OVERHEAD_BYTES = 16;

export class MqttSink implements Sink {
  readonly itemsMax = 100;
  readonly #topic: string;
  readonly #qos: 0 | 1 | 2;
  readonly #clock: Clock;
  readonly #link: Link;
  #onConnected: (() => void) | null = null;
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

  async deliver(items: readonly EdgeItem[], signal: AbortSignal): Promise<SinkOutcome[]> {
    using patience = new Patience(this.#clock, signal);
    const connection = await this.#connection(patience);
    if (connection === null) {
      return [{ kind: "retry", reason: `not connected to the broker: ${this.#link.error}` }];
    }
    if (connection.qosMax < this.#qos) {
      return [{ kind: "retry", reason: `the broker takes messages up to QoS ${connection.qosMax} only` }];
    }
    const outcomes = await this.#publishAll(items, connection, patience);
    if (outcomes.at(-1)?.kind !== "retry") this.#isCautious = false;
    // Its late answers must not be taken for those of the next attempt.
    if (patience.end === "overdue") connection.discard();
    return outcomes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.stop();
  }

  async #connection(patience: Patience): Promise<Connection | null> {
    const connected = new Promise<void>((resolve) => this.#onConnected = resolve);
    if (this.#link.connection === null) await Promise.race([connected, patience.ended]);
    return this.#link.connection;
  }

  /** Pipelined, in order; an item waits only for the one before it of the same alert, which might have to be repeated. */
  async #publishAll(
    items: readonly EdgeItem[],
    connection: Connection,
    patience: Patience,
  ): Promise<SinkOutcome[]> {
    const outcomes: Promise<SinkOutcome>[] = [];
    const underWayMax = this.#isCautious ? 1 : connection.publishesMax;
    const lastOfAlert = new Map<string, Promise<SinkOutcome>>();
    for (const item of items) {
      const { alertId } = factsOf(item);
      const before = lastOfAlert.get(alertId);
      if (before !== undefined && (await before).kind === "retry") break;
      if ((await outcomes[outcomes.length - underWayMax])?.kind === "retry") break;
      const outcome = this.#publish(item, connection, patience);
      outcomes.push(outcome);
      if (this.#qos > 0 && alertId !== "") lastOfAlert.set(alertId, outcome);
    }
    const settled: SinkOutcome[] = [];
    for (const outcome of outcomes) {
      settled.push(await outcome);
      if (settled.at(-1)?.kind === "retry") break;
    }
    return settled;
  }

  async #publish(item: EdgeItem, connection: Connection, patience: Patience): Promise<SinkOutcome> {
    if (patience.end !== null) return { kind: "retry", reason: patience.reason };
    const bytesMax = connection.packetBytesMax;
    if (bytesMax !== null && this.#bytesOf(item) > bytesMax) {
      return rejected(`the broker takes packets of up to ${bytesMax} bytes`);
    }
    const answer = await Promise.race([
      connection.publish(this.#topic, item.body, this.#qos),
      patience.ended,
    ]);
    if (answer === undefined) return { kind: "retry", reason: patience.reason };
    patience.renew();
    if (answer.kind === "lost") this.#isCautious = true;
    return outcomeOf(answer);
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
      return { kind: "retry", reason: "the connection to the broker was lost before its acknowledgement" };
    case "refused": {
      const reason = `the broker refuses it: ${answer.reason}`;
      return answer.blames === "message" ? rejected(reason) : { kind: "retry", reason };
    }
  }
}

function rejected(reason: string): SinkOutcome {
  return { kind: "rejected", status: null, reason, responseBody: null };
}

/** Ends when nothing has come for the time-out, or when told to. */
class Patience implements Disposable {
  readonly ended: Promise<undefined>;
  readonly #resolve: (nothing: undefined) => void;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #abort = () => this.#over("aborted");
  #end: "overdue" | "aborted" | null = null;
  #cancel = () => {};

  constructor(clock: Clock, signal: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#clock = clock;
    this.#signal = signal;
    signal.addEventListener("abort", this.#abort);
    if (signal.aborted) this.#abort();
    this.renew();
  }

  get end(): "overdue" | "aborted" | null {
    return this.#end;
  }

  get reason(): string {
    return this.#end === "aborted"
      ? "the agent is shutting down"
      : `no acknowledgement from the broker within ${ANSWER_TIMEOUT_MS / 1000} s`;
  }

  renew(): void {
    this.#cancel();
    if (this.#end === null) this.#cancel = this.#clock.after(ANSWER_TIMEOUT_MS, () => this.#over("overdue"));
  }

  [Symbol.dispose](): void {
    this.#end ??= "aborted";
    this.#cancel();
    this.#signal.removeEventListener("abort", this.#abort);
  }

  #over(end: "overdue" | "aborted"): void {
    this.#end ??= end;
    this.#cancel();
    this.#resolve(undefined);
  }
}
