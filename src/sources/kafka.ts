/** Consumes topics of a Kafka cluster as one member of a consumer group. */

import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { KafkaConsumerConfig } from "./consumers_config.ts";
import type { MessageReceiver } from "./message.ts";

/** Why messages do not come in, in the form of contract §2. */
export interface KafkaUnready {
  component: "kafka";
  consumer_started: boolean;
  subscribed: boolean;
  worker_exited: boolean;
  error: string;
  [detail: string]: unknown;
}

export interface KafkaSourceDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
  /** A broker that the agent has no right to reach: the main thread has to look for brokers again. */
  onBrokerRefused: (address: string) => void;
}

export class KafkaSource implements AsyncDisposable {
  /** `topics` are exact names, each once. */
  constructor(
    _config: KafkaConsumerConfig,
    _topics: readonly string[],
    _receiver: MessageReceiver,
    _deps: KafkaSourceDeps,
  ) {}

  /** Returns at once; connecting, and connecting again, goes on until `stop()`. */
  start(): void {}

  /** Null while messages come in. */
  readiness(): KafkaUnready | null {
    return null;
  }

  /**
   * Fetches nothing more, waits up to `timeoutMs` for what is in hand, commits what is settled and leaves the group.
   * What is not settled then is aborted and comes again to whoever gets the partition.
   */
  async stop(_timeoutMs: number): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}
