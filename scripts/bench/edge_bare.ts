/**
 * The baseline of the edge connector: what it does, bare. Polls the same emulated ilert for a hundred items at a time,
 * parses them, and delivers each, or a hundred together where the agent does, waiting for every acknowledgement; keeps
 * no cursor, no dead letters, no figures and no log, and repeats nothing.
 */

import { Kafka, logLevel, type Producer } from "kafkajs";
import mqtt, { type MqttClient } from "mqtt";
import { answerQuestions } from "./conversation.ts";
import { BARE_MARK } from "./edge_site.ts";

export const EDGE_BARE = import.meta.url;

export type BareTarget =
  | { kind: "http"; url: string }
  /** `hasGroup`: each run has a process group of its own. */
  | { kind: "script"; path: string; hasGroup: boolean }
  | { kind: "stdout"; pipe: string }
  | { kind: "kafka"; address: string; topic: string }
  | { kind: "mqtt"; url: string; topic: string };

export type BareQuestion =
  | { kind: "open"; target: BareTarget }
  | { kind: "deliver"; ilertUrl: string; afterId: number; items: number };

interface Item {
  id: number;
  payload: { id: string; eventType: string; timestamp: string };
}

type Deliver = (items: readonly Item[]) => Promise<void>;

class BareLoop {
  #deliver: Deliver = () => Promise.reject(new Error("nothing is open"));

  /** Milliseconds, from the first poll to the last. */
  async answer(question: BareQuestion): Promise<number> {
    if (question.kind === "deliver") return await this.#run(question);
    this.#deliver = await open(question.target);
    return 0;
  }

  async #run({ ilertUrl, afterId, items }: BareQuestion & { kind: "deliver" }): Promise<number> {
    const startedAt = performance.now();
    const lastId = afterId + items;
    for (let at = afterId;;) {
      const query = `limit=100&after-id=${at}&${BARE_MARK}`;
      const headers = { authorization: "bare" };
      const response = await fetch(`${ilertUrl}/api/edge-connections/events?${query}`, { headers });
      const answer: { items: Item[] } = await response.json();
      // Its last poll brings nothing and counts, as the agent's does.
      if (at >= lastId) return performance.now() - startedAt;
      await this.#deliver(answer.items);
      at = answer.items.at(-1)?.id ?? lastId;
    }
  }
}

async function open(target: BareTarget): Promise<Deliver> {
  switch (target.kind) {
    case "http":
      return one((item) => post(target.url, item));
    case "script":
      return one((item) => run(target.path, target.hasGroup, item));
    case "stdout": {
      const pipe = await Deno.open(target.pipe, { write: true });
      return (items) => writeAll(pipe, items.map((item) => `${textOf(item)}\n`).join(""));
    }
    case "kafka": {
      const kafka = new Kafka({ clientId: "bare", brokers: [target.address], logLevel: logLevel.NOTHING });
      const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
      await producer.connect();
      return (items) => produce(producer, target.topic, items);
    }
    case "mqtt": {
      const client = await mqtt.connectAsync(target.url, { protocolVersion: 5 });
      return (items) => publish(client, target.topic, items);
    }
  }
}

function one(deliver: (item: Item) => Promise<void>): Deliver {
  return async (items) => {
    for (const item of items) await deliver(item);
  };
}

async function post(url: string, item: Item): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-ilert-event-type": item.payload.eventType,
      "x-ilert-alert-id": item.payload.id,
      "x-ilert-edge-item-id": String(item.id),
    },
    body: textOf(item),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the target answered ${response.status}`);
}

async function run(path: string, detached: boolean, item: Item): Promise<void> {
  const child = new Deno.Command(path, {
    clearEnv: true,
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      ILERT_EVENT_TYPE: item.payload.eventType,
      ILERT_ALERT_ID: item.payload.id,
      ILERT_EDGE_ITEM_ID: String(item.id),
      ILERT_TIMESTAMP: item.payload.timestamp,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached,
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(textOf(item)));
  await writer.close();
  const { success } = await child.output();
  if (!success) throw new Error("the script failed");
}

async function produce(producer: Producer, topic: string, items: readonly Item[]): Promise<void> {
  const messages = items.map((item) => ({ key: item.payload.id, value: textOf(item) }));
  await producer.send({ topic, messages, acks: -1 });
}

async function publish(client: MqttClient, topic: string, items: readonly Item[]): Promise<void> {
  await Promise.all(items.map((item) => client.publishAsync(topic, textOf(item), { qos: 1 })));
}

async function writeAll(pipe: Deno.FsFile, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(await pipe.write(bytes));
}

function textOf({ payload }: Item): string {
  return JSON.stringify(payload);
}

if (import.meta.main) {
  const loop = new BareLoop();
  await answerQuestions((question: BareQuestion) => loop.answer(question));
}
