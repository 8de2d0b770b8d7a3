/** Produces edge items to a topic of a Kafka cluster; those of one alert keep their order. Contract §5. */

import { BatchProducer, type OutgoingMessage, type Sent } from "../clients/kafka/batch_producer.ts";
import { KafkaClient, type KafkaClientDeps, kafkaFailureOf } from "../clients/kafka/client.ts";
import type { KafkaConnection } from "../clients/kafka_connection.ts";
import { type EdgeItem, factsOf } from "../domain/edge_item.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

export interface KafkaSinkConfig {
  connection: KafkaConnection;
  topic: string;
}

/** Half of what a broker takes as one batch unless it is told otherwise. */
const BATCH_BYTES_MAX = 512 * 1024;
/** From connecting to the acknowledgement. */
const SEND_TIMEOUT_MS = 10_000;
const SHUTTING_DOWN = "the agent is shutting down";

interface Link {
  client: KafkaClient;
  producer: BatchProducer;
}

export class KafkaSink implements Sink {
  readonly itemsMax = 100;
  readonly #connection: KafkaConnection;
  readonly #topic: string;
  readonly #clock: Clock;
  readonly #deps: KafkaClientDeps;
  #link: Link | null = null;
  readonly #sending = new Set<Promise<Sent>>();

  /** Connects with the first delivery. */
  constructor({ connection, topic }: KafkaSinkConfig, deps: KafkaClientDeps & { clock: Clock }) {
    this.#connection = connection;
    this.#topic = topic;
    this.#clock = deps.clock;
    this.#deps = deps;
  }

  async *deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    let hasBegun = false;
    for (const batch of batchesOf(items.map(toMessage))) {
      if (hasBegun && !mayGoOn()) return;
      hasBegun = true;
      const outcomes = await this.#deliverBatch(batch, signal);
      yield* outcomes;
      if (outcomes.at(-1)?.kind === "retry") return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const link = this.#link;
    this.#link = null;
    await link?.producer.close();
    link?.client[Symbol.dispose]();
    // Given up, they fail one by one.
    await Promise.all(this.#sending);
  }

  async #deliverBatch(batch: OutgoingMessage[], signal: AbortSignal): Promise<SinkOutcome[]> {
    const sent = await this.#sendInTime(batch, signal);
    if (sent.kind === "acknowledged") return batch.map(() => ({ kind: "delivered" }));
    if (sent.kind === "failed") return [{ kind: "retry", reason: sent.reason }];
    if (batch.length === 1) {
      return [{
        kind: "rejected",
        status: null,
        reason: `Kafka refused it: ${sent.reason}`,
        responseBody: null,
      }];
    }
    // One of them is refused, and takes the others with it: each alone, so that only that one is rejected.
    const outcomes: SinkOutcome[] = [];
    for (const message of batch) {
      outcomes.push(...await this.#deliverBatch([message], signal));
      if (outcomes.at(-1)?.kind === "retry") break;
    }
    return outcomes;
  }

  async #sendInTime(batch: OutgoingMessage[], signal: AbortSignal): Promise<Sent> {
    if (signal.aborted) return { kind: "failed", reason: SHUTTING_DOWN };
    const attempt = new AbortController();
    const given = Promise.withResolvers<Sent>();
    const giveUp = (reason: string) => given.resolve({ kind: "failed", reason });
    const cancel = this.#clock.after(SEND_TIMEOUT_MS, () => {
      giveUp(`no acknowledgement within ${SEND_TIMEOUT_MS / 1000} s`);
    });
    const abort = () => giveUp(SHUTTING_DOWN);
    signal.addEventListener("abort", abort);
    const sending = this.#send(batch, attempt.signal);
    this.#sending.add(sending);
    void sending.then(() => this.#sending.delete(sending));
    const sent = await Promise.race([sending, given.promise]);
    signal.removeEventListener("abort", abort);
    cancel();
    if (sent.kind !== "acknowledged") {
      attempt.abort();
      this.#discard();
    }
    return sent;
  }

  async #send(batch: OutgoingMessage[], attempt: AbortSignal): Promise<Sent> {
    try {
      const { producer } = this.#link ?? await this.#connect(attempt);
      return await producer.send(this.#topic, batch);
    } catch (error) {
      return { kind: "failed", reason: `Kafka cannot be reached: ${kafkaFailureOf(error)}` };
    }
  }

  async #connect(attempt: AbortSignal): Promise<Link> {
    const client = await KafkaClient.open(this.#connection, this.#deps);
    attempt.addEventListener("abort", () => client[Symbol.dispose](), { once: true });
    const producer = await BatchProducer.connect(client);
    attempt.throwIfAborted();
    this.#link = { client, producer };
    return this.#link;
  }

  /** A later batch must not carry on the numbering of one whose fate is unknown: the next producer begins anew. */
  #discard(): void {
    this.#link?.client[Symbol.dispose]();
    this.#link = null;
  }
}

function toMessage(item: EdgeItem): OutgoingMessage {
  const { alertId } = factsOf(item);
  return { key: alertId === "" ? null : alertId, value: new TextEncoder().encode(item.body) };
}

/** In order, none larger than a broker takes unless a single message is. */
function* batchesOf(messages: readonly OutgoingMessage[]): Generator<OutgoingMessage[]> {
  let batch: OutgoingMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (batch.length > 0 && bytes + message.value.length > BATCH_BYTES_MAX) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(message);
    bytes += message.value.length;
  }
  if (batch.length > 0) yield batch;
}
