/** The main thread's side of the search for Kafka's brokers. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { FromBrokerWorker, ToBrokerWorker } from "./broker_messages.ts";
import { brokerSearchPermissions, workerPermissions } from "./permissions.ts";

export type BrokersFound = { kind: "found"; addresses: string[] } | { kind: "failed"; reason: string };

/** Whatever takes longer is no answer: the agent starts without, and says why it does not consume. */
const SEARCH_MAX_MS = 4_000;
/** No cluster has more; what answers with more is none. */
const BROKERS_MAX = 1_000;
const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[1-9]\d{0,4}$/;

/** Asks those to begin with, once. Never rejects. */
export async function findBrokers(connection: KafkaConnection, signal: AbortSignal): Promise<BrokersFound> {
  if (signal.aborted) return { kind: "failed", reason: "the agent is shutting down" };
  const answer = Promise.withResolvers<BrokersFound>();
  const fail = (reason: string) => answer.resolve({ kind: "failed", reason });
  const worker = new Worker(Deno.mainModule, {
    type: "module",
    name: "brokers",
    deno: { permissions: workerPermissions(brokerSearchPermissions(connection)) },
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    fail(event.message);
  });
  worker.addEventListener("message", ({ data }: MessageEvent<FromBrokerWorker>) => {
    switch (data.type) {
      case "loaded":
        return worker.postMessage({ type: "find", connection } satisfies ToBrokerWorker);
      case "found":
        return answer.resolve(checked(data.addresses));
      case "failed":
        return fail(data.reason);
    }
  });
  const abort = () => fail("the agent is shutting down");
  signal.addEventListener("abort", abort);
  const timer = setTimeout(() => fail(`no answer within ${SEARCH_MAX_MS / 1000} s`), SEARCH_MAX_MS);
  const found = await answer.promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", abort);
  worker.terminate();
  return found;
}

/** They become rights, so they must be nothing but addresses. */
function checked(addresses: string[]): BrokersFound {
  const odd = addresses.find((address) => !ADDRESS.test(address));
  if (odd !== undefined) return { kind: "failed", reason: `a broker calls itself ${JSON.stringify(odd)}` };
  if (addresses.length > BROKERS_MAX) {
    return { kind: "failed", reason: `it names ${addresses.length} brokers` };
  }
  return { kind: "found", addresses };
}
