/** Somebody else at the broker: what a test publishes with, and what receives what the agent has published. */

import { Buffer } from "node:buffer";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { readFileSync } from "node:fs";
import type { KeyPair } from "../../scripts/services/certificates.ts";
import { until } from "./until.ts";

export interface MqttPeerOptions {
  caFile?: string;
  client?: KeyPair;
  user?: { name: string; password: string };
  /** With a name the broker keeps the session, and what comes for it, after the connection has ended. */
  session?: string;
}

export interface MqttMessage {
  topic: string;
  payload: string;
  qos: 0 | 1 | 2;
}

const CONNECT_TIMEOUT_MS = 10_000;
const SESSION_SECONDS = 3_600;
const PIPELINED_MAX = 500;

/** After a brief connection mqtt.js may still have a timer of 0 ms under way, which would count as a leak. */
export function mqttAtRest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

export class MqttPeer implements AsyncDisposable {
  /** Of all subscriptions, in their order. */
  readonly messages: MqttMessage[] = [];
  readonly #client: MqttClient;

  private constructor(client: MqttClient) {
    this.#client = client;
    client.on("message", (topic, payload, { qos }) => {
      this.messages.push({ topic, payload: payload.toString(), qos });
    });
    // Without a listener an error of the connection would end the test run; whoever waits for something sees it missing.
    client.on("error", () => {});
  }

  /** MQTT 5. Rejects when the broker or its TLS refuses; never connects again by itself. */
  static async connect(url: string, options: MqttPeerOptions = {}): Promise<MqttPeer> {
    const client = mqtt.connect(url, { ...connectOptions(options), manualConnect: true });
    const peer = new MqttPeer(client);
    const outcome = Promise.withResolvers<void>();
    client.once("connect", () => outcome.resolve());
    client.once("error", outcome.reject);
    client.once("close", () => outcome.reject(new Error(`The connection to ${url} was closed`)));
    client.connect();
    try {
      await outcome.promise;
      return peer;
    } catch (error) {
      await client.endAsync(true);
      throw error;
    }
  }

  async subscribe(topic: string, qos: 0 | 1 | 2 = 1): Promise<void> {
    await this.#client.subscribeAsync(topic, { qos });
  }

  /** Resolves once the broker has acknowledged it, as far as the quality of service says that it does. */
  async publish(topic: string, payload: string | Uint8Array, qos: 0 | 1 | 2 = 1): Promise<void> {
    const body = typeof payload === "string" ? payload : Buffer.from(payload);
    await this.#client.publishAsync(topic, body, { qos });
  }

  /** Bodies `0`, `1` and so on, many of them under way at a time. */
  async publishMany(topic: string, count: number, qos: 0 | 1 | 2 = 1): Promise<void> {
    const pending: Promise<void>[] = [];
    for (let n = 0; n < count; n++) {
      pending.push(this.publish(topic, `${n}`, qos));
      if (pending.length >= PIPELINED_MAX) await pending.shift();
    }
    await Promise.all(pending);
  }

  get texts(): string[] {
    return this.messages.map(({ payload }) => payload);
  }

  async received(count: number, timeoutMs?: number): Promise<MqttMessage[]> {
    await until(() => this.messages.length >= count, `${count} MQTT messages`, timeoutMs);
    return this.messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.endAsync();
    await mqttAtRest();
  }
}

function connectOptions({ caFile, client, user, session }: MqttPeerOptions): IClientOptions {
  const options: IClientOptions = {
    protocolVersion: 5,
    reconnectPeriod: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
  };
  if (caFile !== undefined) options.ca = readFileSync(caFile);
  if (client !== undefined) {
    options.cert = readFileSync(client.certFile);
    options.key = readFileSync(client.keyFile);
  }
  if (user !== undefined) {
    options.username = user.name;
    options.password = user.password;
  }
  if (session !== undefined) {
    options.clientId = session;
    options.clean = false;
    options.properties = { sessionExpiryInterval: SESSION_SECONDS };
  }
  return options;
}
