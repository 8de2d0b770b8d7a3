/** Takes messages from an MQTT broker; the broker may forget each once its receiver has settled it. */

import { Link, type LinkDeps } from "../clients/mqtt/link.ts";
import type { MqttConsumerConfig } from "./consumers_config.ts";
import type { MessageReceiver } from "./message.ts";
import { MqttInbox } from "./mqtt_inbox.ts";
import { MqttSubscriptions, type RememberedTopics } from "./mqtt_subscriptions.ts";

/** In the form of contract §2; null when ready. */
export type MqttReadiness =
  | { component: "mqtt"; connected: boolean; subscriptions_ready: boolean; error: string }
  | null;

export interface MqttSourceDeps extends LinkDeps {
  rememberedTopics: RememberedTopics;
}

export class MqttSource implements AsyncDisposable {
  readonly #link: Link;
  readonly #inbox: MqttInbox;
  readonly #subscriptions: MqttSubscriptions;

  /**
   * `clientId` is the one to use, given or made up; `topics` are the filters of all consumers (events, heartbeats,
   * policies), without the shared group, which is added here.
   */
  constructor(
    config: MqttConsumerConfig,
    clientId: string,
    topics: readonly string[],
    receiver: MessageReceiver,
    deps: MqttSourceDeps,
  ) {
    const inbox = new MqttInbox(receiver, deps);
    const subscriptions = new MqttSubscriptions(topics, config, deps.rememberedTopics, deps);
    this.#inbox = inbox;
    this.#subscriptions = subscriptions;
    this.#link = new Link(config.connection, clientId, "persistent", {
      opened: (connection) => inbox.opened(connection),
      connected: (connection) => subscriptions.connected(connection),
      received: (message) => inbox.received(message),
      released: (packetId) => inbox.released(packetId),
      lost: () => {
        inbox.lost();
        subscriptions.lost();
      },
    }, deps);
  }

  /** Begins to connect and goes on for good: an absent broker is a matter for the log and for `readiness`. */
  start(): void {
    this.#link.start();
  }

  get readiness(): MqttReadiness {
    const connectionError = this.#link.error, subscriptionError = this.#subscriptions.error;
    const error = connectionError ?? subscriptionError;
    if (error === null) return null;
    return {
      component: "mqtt",
      connected: connectionError === null,
      subscriptions_ready: subscriptionError === null,
      error,
    };
  }

  /** Messages that the receiver has not settled yet. */
  get inFlight(): number {
    return this.#inbox.inFlight;
  }

  /**
   * Takes no more, waits up to `timeoutMs` for what the receiver has in hand (then its signal is aborted),
   * acknowledges what is settled, and leaves the broker with the session kept. Never rejects.
   */
  async stop(timeoutMs: number): Promise<void> {
    await this.#inbox.close(timeoutMs);
    this.#subscriptions.lost();
    await this.#link.stop();
    this.#inbox[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}
