/** The baseline of the MQTT consumer: bare mqtt.js, which acknowledges what it receives, and a bare `fetch` for each message. */

import mqtt, { type MqttClient } from "mqtt";
import { answerQuestions, sharedNow } from "./conversation.ts";
import { BarePosts } from "./bare_posts.ts";

export const BARE_MQTT = import.meta.url;

export type BareMqttQuestion =
  /** Takes over a persistent session. Answers when connected; the messages begin at once. */
  | { kind: "connect"; url: string; session: string; apiUrl: string | null; inFlight: number }
  /** Answers when this many messages have come. */
  | { kind: "until"; received: number }
  /** Answers when all is posted. */
  | { kind: "disconnect" };

/** Times of receipts by `sharedNow()`; NaN where there was none. */
export interface BareMqttState {
  firstAt: number;
  lastAt: number;
}

const SESSION_SECONDS = 3_600;
/** As the agent announces it. */
const RECEIVE_MAX = 1_000;

class BareMqtt {
  #client: MqttClient | null = null;
  #posts: BarePosts | null = null;
  #received = 0;
  #firstAt = NaN;
  #lastAt = NaN;
  #wanted: { received: number; reached: () => void } | null = null;

  async answer(question: BareMqttQuestion): Promise<BareMqttState> {
    switch (question.kind) {
      case "connect":
        await this.#connect(question);
        break;
      case "until":
        await this.#until(question.received);
        break;
      case "disconnect":
        await this.#client?.endAsync();
        await this.#posts?.drained();
        break;
    }
    return { firstAt: this.#firstAt, lastAt: this.#lastAt };
  }

  async #connect({ url, session, apiUrl, inFlight }: BareMqttQuestion & { kind: "connect" }): Promise<void> {
    const posts = apiUrl === null ? null : new BarePosts(apiUrl, inFlight);
    this.#posts = posts;
    this.#received = 0;
    this.#firstAt = NaN;
    const client = mqtt.connect(url, {
      ...{ protocolVersion: 5, clientId: session, clean: false, reconnectPeriod: 0, manualConnect: true },
      properties: { sessionExpiryInterval: SESSION_SECONDS, receiveMaximum: RECEIVE_MAX },
    });
    client.handleMessage = (packet, done) => {
      this.#count();
      if (posts === null) return done();
      // Acknowledged when there is a free place, not when the API has it: mqtt.js would do one at a time.
      void posts.begin(packet.payload as Uint8Array<ArrayBuffer>).then(() => done());
    };
    const connected = new Promise((resolve, reject) => client.once("connect", resolve).once("error", reject));
    client.connect();
    this.#client = client;
    await connected;
  }

  #count(): void {
    this.#lastAt = sharedNow();
    if (this.#received++ === 0) this.#firstAt = this.#lastAt;
    if (this.#wanted !== null && this.#received >= this.#wanted.received) this.#wanted.reached();
  }

  async #until(received: number): Promise<void> {
    if (this.#received >= received) return;
    await new Promise<void>((reached) => this.#wanted = { received, reached });
    this.#wanted = null;
  }
}

if (import.meta.main) {
  const client = new BareMqtt();
  await answerQuestions((question: BareMqttQuestion) => client.answer(question));
}
