import assert from "node:assert/strict";
import type { Message, PartitionerArgs, RecordMetadata } from "../../../src/clients/kafka/client.ts";
import { BatchProducer } from "../../../src/clients/kafka/batch_producer.ts";

Deno.test("BatchProducer.send() does not take it for acknowledged while the answer of a partition is missing", async () => {
  const cluster = new MovingCluster();
  const producer = await BatchProducer.connect(cluster);
  const messages = [{ key: "foobar", value: new Uint8Array(1) }, { key: "21", value: new Uint8Array(1) }];
  assert.deepEqual(await producer.send("t", messages), { kind: "acknowledged" });
  cluster.forgets = 0;
  const sent = await producer.send("t", messages);
  assert.deepEqual(sent, { kind: "failed", reason: "partitions have moved to other brokers meanwhile" });
});

Deno.test("BatchProducer keeps the partition of a message without a key when kafkajs tries again", async () => {
  const cluster = new MovingCluster();
  const producer = await BatchProducer.connect(cluster);
  cluster.attempts = 20;
  await producer.send("t", [{ key: null, value: new Uint8Array(1) }]);
  assert.equal(new Set(cluster.chosen).size, 1);
});

/** In place of a cluster and of kafkajs, which asks for the partitions at each attempt and tells what was acknowledged. */
class MovingCluster {
  /** A partition whose answer is missing although the call succeeds. */
  forgets: number | null = null;
  attempts = 1;
  readonly chosen: number[] = [];

  readonly kafka = {
    producer: (options: { createPartitioner: () => (args: PartitionerArgs) => number }) => {
      const partitioner = options.createPartitioner();
      const partitionMetadata = [0, 1, 2, 3].map((partitionId) => ({
        ...{ partitionId, partitionErrorCode: 0, leader: 1, replicas: [1], isr: [1] },
      }));
      return {
        connect: () => Promise.resolve(),
        send: ({ topic, messages }: { topic: string; messages: Message[] }): Promise<RecordMetadata[]> => {
          let partitions: number[] = [];
          for (let attempt = 0; attempt < this.attempts; attempt++) {
            partitions = messages.map((message) => partitioner({ topic, partitionMetadata, message }));
            this.chosen.push(...partitions);
          }
          const answered = partitions.filter((partition) => partition !== this.forgets);
          return Promise.resolve(
            answered.map((partition) => ({ topicName: topic, partition, errorCode: 0 })),
          );
        },
      };
    },
  } as unknown as Parameters<typeof BatchProducer.connect>[0]["kafka"];
}
