/** A broker's message on its way in, and the promise that lets the broker forget it. */

export interface BrokerMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Kafka's message key; null for MQTT and where there is none. */
  readonly key: string | null;
}

export interface MessageReceiver {
  /**
   * Takes messages in the order of the calls. Resolves when the message is settled (accepted by ilert, durable in the
   * queue, filtered, or a durable dead letter): only then may it be acknowledged. Rejects only when `signal` is aborted,
   * and then it must not be acknowledged. While there is no room it waits: back-pressure, never a loss.
   */
  receive(message: BrokerMessage, signal: AbortSignal): Promise<void>;
}
