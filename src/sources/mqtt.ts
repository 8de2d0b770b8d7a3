/** Takes messages from an MQTT broker; the broker may forget each once its receiver has settled it. */

import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { MqttConsumerConfig } from "./consumers_config.ts";
import type { MessageReceiver } from "./message.ts";

/** The topics that the broker's persistent session holds for us; kept across restarts. */
export interface RememberedTopics {
  /** As last saved; empty at the very first start. */
  load(): string[];
  /** Durable when it returns. */
  save(topics: readonly string[]): void;
}

/** In the form of contract §2; null when ready. */
export type MqttReadiness =
  | { component: "mqtt"; connected: boolean; subscriptions_ready: boolean; error: string }
  | null;

export interface MqttSourceDeps {
  rememberedTopics: RememberedTopics;
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
}

export class MqttSource implements AsyncDisposable {
  readonly #receiver: MessageReceiver;

  /**
   * `clientId` is the one to use, given or made up; `topics` are the patterns of all consumers (events, heartbeats,
   * policies), without the shared group, which is added here.
   */
  constructor(
    _config: MqttConsumerConfig,
    _clientId: string,
    _topics: readonly string[],
    receiver: MessageReceiver,
    _deps: MqttSourceDeps,
  ) {
    this.#receiver = receiver;
  }

  /** Begins to connect and goes on for good: an absent broker is a matter for the log and for `readiness`. */
  start(): void {
    void this.#receiver;
  }

  get readiness(): MqttReadiness {
    return { component: "mqtt", connected: false, subscriptions_ready: false, error: "connecting" };
  }

  /** Messages that the receiver has not settled yet. */
  get inFlight(): number {
    return 0;
  }

  /**
   * Takes no more, waits up to `timeoutMs` for what the receiver has in hand (then its signal is aborted),
   * acknowledges what is settled, and leaves the broker with the session kept. Never rejects.
   */
  async stop(_timeoutMs: number): Promise<void> {
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}
