/** An MqttSource with all it needs, as an agent of a database of its own, and ways to end it. */

import type { Mosquitto } from "../../scripts/services/mosquitto.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { MqttConsumerConfig } from "../../src/sources/consumers_config.ts";
import { MqttSource } from "../../src/sources/mqtt.ts";
import { memoryLog } from "./memory_log.ts";
import { TestReceiver } from "./message_receivers.ts";
import { mqttAtRest, MqttPeer } from "./mqtt_peer.ts";
import { NetworkProxy } from "./network_proxy.ts";
import { until } from "./until.ts";

export const STOP_TIMEOUT_MS = 5_000;

export interface AgentWish extends Partial<Omit<MqttConsumerConfig, "connection">> {
  url: string;
  id?: string;
  topics?: string[];
  mode?: "settling" | "holding";
  /** Its database. */
  remembered?: string[];
}

export type OpenAgent = ReturnType<typeof openAgent>;

export function openAgent(
  { url, id = "agent", topics = ["alerts"], mode = "settling", remembered = [], ...more }: AgentWish,
) {
  const log = memoryLog();
  const receiver = new TestReceiver(mode);
  const connection = { url, clientId: null, username: null, password: null, tls: null };
  const source = new MqttSource(
    { connection, qos: 1, isBuffered: true, sharedGroup: null, ...more },
    id,
    topics,
    receiver,
    {
      rememberedTopics: {
        load: () => [...remembered],
        save: (saved) => void remembered.splice(0, Infinity, ...saved),
      },
      ...{ clock: systemClock, random: Math.random, log },
    },
  );
  source.start();
  return {
    ...{ source, receiver, log, remembered },
    ready: () => until(() => source.readiness === null, "the source is ready"),
    notReady: () => until(() => source.readiness !== null, "the source is not ready"),
    took: (count: number) =>
      until(() => receiver.taken.length >= count, `${count} messages were received`, 30_000),
    async [Symbol.asyncDispose]() {
      receiver.release();
      await source.stop(STOP_TIMEOUT_MS);
      await mqttAtRest();
    },
  };
}

/** One behind a `proxy`, whose process is killed when it is disposed of: the broker hears nothing more of it. */
export async function openMortalAgent(broker: Mosquitto<"plain">, wish: Omit<AgentWish, "url">) {
  const proxy = await NetworkProxy.start(broker.port("plain"));
  const agent = openAgent({ ...wish, url: `mqtt://127.0.0.1:${proxy.port}` });
  await agent.ready();
  return {
    ...agent,
    proxy,
    async [Symbol.asyncDispose]() {
      proxy.cut();
      await agent[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** What the broker still has for an agent: what another start of it receives. Takes it. */
export async function leftFor(broker: Mosquitto<"plain">, wish: Omit<AgentWish, "url">): Promise<string[]> {
  await using heir = openAgent({ ...wish, url: broker.url("plain") });
  await heir.ready();
  await using peer = await MqttPeer.connect(broker.url("plain"));
  await peer.publish("alerts", "end", 2);
  await until(() => heir.receiver.texts.includes("end"), "the mark after what was left");
  return heir.receiver.texts.filter((text) => text !== "end");
}
