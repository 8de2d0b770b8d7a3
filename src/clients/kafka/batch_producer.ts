/** Sends messages so that Kafka keeps their order and stores none of them twice while one call tries again. */

import { Buffer } from "node:buffer";
import {
  type KafkaClient,
  kafkaFailureOf,
  type Message,
  type PartitionerArgs,
  Partitioners,
  type Producer,
  protocolErrorOf,
  type RecordMetadata,
} from "./client.ts";

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
const INCOMPLETE: Sent = { kind: "failed", reason: "partitions have moved to other brokers meanwhile" };
/** Errors that lie in a message, not in the state of the cluster. */
const REFUSALS = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD"];

export class BatchProducer {
  readonly #producer: Producer;
  readonly #partitions: WeakMap<Message, number>;

  private constructor(producer: Producer, partitions: WeakMap<Message, number>) {
    this.#producer = producer;
    this.#partitions = partitions;
  }

  /** Rejects where no broker can be reached. */
  static async connect(client: Pick<KafkaClient, "kafka">): Promise<BatchProducer> {
    const partitions = new WeakMap<Message, number>();
    const producer = client.kafka.producer({
      // Numbers the messages: a repeated request adds nothing, and a later one cannot overtake it.
      idempotent: true,
      createPartitioner: () => rememberingPartitioner(partitions),
    });
    await producer.connect();
    return new BatchProducer(producer, partitions);
  }

  /** One request for each broker that leads a partition concerned. Never rejects. */
  async send(topic: string, outgoing: readonly OutgoingMessage[]): Promise<Sent> {
    const messages = outgoing.map(({ key, value: { buffer, byteOffset, byteLength } }) => ({
      key,
      value: Buffer.from(buffer, byteOffset, byteLength),
    }));
    try {
      const answers = await this.#producer.send({
        ...{ topic, messages, acks: -1, timeout: ACKNOWLEDGE_TIMEOUT_MS },
      });
      return this.#isComplete(messages, answers) ? { kind: "acknowledged" } : INCOMPLETE;
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

  /**
   * kafkajs tells of a success although it has left partitions out: those that, while it tried again, moved to a broker
   * which had acknowledged others before. Only the answers show that.
   */
  #isComplete(messages: readonly Message[], answers: readonly RecordMetadata[]): boolean {
    const acknowledged = new Set<number | undefined>(answers.map(({ partition }) => partition));
    return messages.every((message) => acknowledged.has(this.#partitions.get(message)));
  }
}

/**
 * As Java's clients choose, so that a key meets the partition that others expect it in. And only once for each message:
 * kafkajs asks again when it tries again, and one without a key would move, to where it is not sent any more.
 */
function rememberingPartitioner(partitions: WeakMap<Message, number>) {
  const choose = Partitioners.DefaultPartitioner();
  return (choice: PartitionerArgs): number => {
    const partition = partitions.get(choice.message) ?? choose(choice);
    partitions.set(choice.message, partition);
    return partition;
  };
}
