/** What a broker's persistent session knows an agent by: kept in its file, so that two agents are never taken for one. */

import type { KeptValues } from "../queue/kept_values.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import type { RememberedTopics } from "../sources/mqtt_subscriptions.ts";

const ID = "agent_id";
const TOPICS = "mqtt_topics";
/** With the prefix within the 23 characters that every broker of MQTT 3.1.1 has to take. */
const ID_CHARACTERS = 12;

/** Made once for each file. */
export function clientIdOf(values: KeptValues): string {
  let id = values.get(ID);
  if (id === null) {
    id = crypto.randomUUID().replaceAll("-", "").slice(-ID_CHARACTERS);
    values.set(ID, id);
  }
  return `ilagent-${id}`;
}

export function rememberedTopics(values: Pick<KeptValues, "get" | "set">, log: Log): RememberedTopics {
  return {
    load() {
      const topics: unknown = JSON.parse(values.get(TOPICS) ?? "[]");
      return Array.isArray(topics) ? topics.filter((topic) => typeof topic === "string") : [];
    },
    save(topics) {
      try {
        values.set(TOPICS, JSON.stringify(topics));
      } catch (error) {
        // Only a topic that a later configuration leaves out would stay subscribed.
        log.warn("The subscriptions could not be remembered: {reason}", { reason: failureOf(error) });
      }
    },
  };
}
