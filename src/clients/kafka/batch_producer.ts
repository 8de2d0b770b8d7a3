/** Sends messages so that Kafka keeps their order and stores none of them twice while one call tries again. */

import { Buffer } from "node:buffer";
import { type KafkaClient, kafkaFailureOf, Partitioners, type Producer, protocolErrorOf } from "./client.ts";

export interface OutgoingMessage {
  /** Messages with the same key keep their order; null for those without one. */
  readonly key: string | null;
  readonly value: Uint8Array;
}

export type Sent =
  /** All in-sync replicas have it. */
  | { kind: "acknowledged" }
  /** The broker will not take one of the messages, whenever it comes. Others of the same call may be stored. */
  | { kind: "refused"; reason: string }
  /** Some may be stored nevertheless. The producer is of no use any more. */
  | { kind: "failed"; reason: string };

/** Of the broker's own wait for its replicas. */
const ACKNOWLEDGE_TIMEOUT_MS = 6_000;
const CLOSE_TIMEOUT_MS = 1_000;
/** Errors that lie in a message, not in the state of the cluster. */
const REFUSALS = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD"];

export class BatchProducer {
  readonly #producer: Producer;

  private constructor(producer: Producer) {
    this.#producer = producer;
  }

  /** Rejects where no broker can be reached. */
  static async connect(client: KafkaClient): Promise<BatchProducer> {
    const producer = client.kafka.producer({
      // Numbers the messages: a repeated request adds nothing, and a later one cannot overtake it.
      idempotent: true,
      // As Java's clients, so that a key meets the partition that others expect it in.
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return new BatchProducer(producer);
  }

  /** One request for each broker that leads a partition concerned. Never rejects. */
  async send(topic: string, messages: readonly OutgoingMessage[]): Promise<Sent> {
    try {
      await this.#producer.send({
        topic,
        acks: -1,
        timeout: ACKNOWLEDGE_TIMEOUT_MS,
        messages: messages.map(({ key, value: { buffer, byteOffset, byteLength } }) => ({
          key,
          value: Buffer.from(buffer, byteOffset, byteLength),
        })),
      });
      return { kind: "acknowledged" };
    } catch (error) {
      const isRefusal = REFUSALS.includes(protocolErrorOf(error) ?? "");
      return { kind: isRefusal ? "refused" : "failed", reason: kafkaFailureOf(error) };
    }
  }

  async close(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSE_TIMEOUT_MS));
    await Promise.race([this.#producer.disconnect().catch(() => {}), timeout]);
    clearTimeout(timer);
  }
}
