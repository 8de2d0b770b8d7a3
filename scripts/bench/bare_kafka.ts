/** The baseline of the Kafka consumer: bare kafkajs, which commits each batch that is posted, and a bare `fetch` for each message. */

import { type Consumer, Kafka, logLevel } from "kafkajs";
import { BarePosts } from "./bare_posts.ts";
import { answerQuestions } from "./conversation.ts";

export const BARE_KAFKA = import.meta.url;

export type BareKafkaQuestion =
  /** A group of its own, from the beginning of the topic. Answers when it has joined; the messages begin at once. */
  | { kind: "connect"; address: string; topic: string; groupId: string; apiUrl: string; inFlight: number }
  | { kind: "disconnect" };

/** Of an idle fetch; as the agent. */
const FETCH_WAIT_MS = 400;
const PARTITIONS_AT_ONCE = 64;

class BareKafka {
  #consumer: Consumer | null = null;
  #posts: BarePosts | null = null;

  async answer(question: BareKafkaQuestion): Promise<null> {
    if (question.kind === "connect") await this.#connect(question);
    else {
      await this.#consumer?.disconnect();
      await this.#posts?.drained();
    }
    return null;
  }

  async #connect(question: BareKafkaQuestion & { kind: "connect" }): Promise<void> {
    const { address, topic, groupId, apiUrl, inFlight } = question;
    const posts = this.#posts = new BarePosts(apiUrl, inFlight);
    const kafka = new Kafka({ clientId: "bare", brokers: [address], logLevel: logLevel.NOTHING });
    const consumer = this.#consumer = kafka.consumer({ groupId, maxWaitTimeInMs: FETCH_WAIT_MS });
    const joined = new Promise<void>((resolve) => consumer.on(consumer.events.GROUP_JOIN, () => resolve()));
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
      eachBatch: async ({ batch }) => {
        for (const { value } of batch.messages) await posts.begin(new Uint8Array(value ?? []));
      },
    });
    await joined;
  }
}

if (import.meta.main) {
  const client = new BareKafka();
  await answerQuestions((question: BareKafkaQuestion) => client.answer(question));
}
