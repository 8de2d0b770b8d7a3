/** The subscriptions that a persistent session at the broker still holds, kept in the agent's file. */

import type { KeptValues } from "../queue/kept_values.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import type { RememberedTopics } from "../sources/mqtt_subscriptions.ts";

const TOPICS = "mqtt_topics";

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
