/** Looks for Kafka's brokers: with the right to reach those to begin with, and with no other right. */

import { KafkaClient, kafkaFailureOf } from "../clients/kafka/client.ts";
import type { KafkaConnection } from "../clients/kafka_connection.ts";
import { failureOf } from "../runtime/failure.ts";
import { divertWarnings } from "../runtime/process_warnings.ts";
import type { FromBrokerWorker, ToBrokerWorker } from "./broker_messages.ts";

/** The part of a worker's global scope this needs. */
interface WorkerScope {
  postMessage(message: FromBrokerWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToBrokerWorker>) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "unhandledrejection", listener: (event: PromiseRejectionEvent) => void): void;
}

export function serveBrokerSearch(scope: WorkerScope): void {
  const post = (message: FromBrokerWorker) => scope.postMessage(message);
  divertWarnings(() => {});
  // Unprevented, these print a stack trace and leave the main thread without a reason.
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    post({ type: "failed", reason: failureOf(event.error ?? event.message) });
  });
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    post({ type: "failed", reason: failureOf(event.reason) });
  });
  scope.addEventListener("message", ({ data }) => void find(data.connection).then(post));
  post({ type: "loaded" });
}

async function find(connection: KafkaConnection): Promise<FromBrokerWorker> {
  try {
    using client = await KafkaClient.openForSearch(connection);
    return { type: "found", addresses: await client.brokers() };
  } catch (error) {
    return { type: "failed", reason: kafkaFailureOf(error) };
  }
}
