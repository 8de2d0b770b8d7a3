/** What the main thread and the worker that looks for Kafka's brokers say to each other. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";

export interface ToBrokerWorker {
  type: "find";
  connection: KafkaConnection;
}

export type FromBrokerWorker =
  | { type: "loaded" }
  /** `host:port` of each broker, as those to begin with tell. */
  | { type: "found"; addresses: string[] }
  /** `reason` is one clause. */
  | { type: "failed"; reason: string };
