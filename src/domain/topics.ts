/** Which messages of a broker are events, heartbeats and policy updates. Source: contract §4; MQTT 5, section 4.7. */

import type { TopicPatterns } from "./mapping_config.ts";

export type BrokerKind = "mqtt" | "kafka";
export type MessageRole = "event" | "heartbeat" | "policy";

export interface TopicRoute {
  role: MessageRole;
  /** As it is configured. */
  pattern: string;
}

/** MQTT 5, section 1.5.4. */
const FILTER_BYTES_MAX = 65_535;

/** The first that fits: the exact heartbeat topic, the policy pattern, the event pattern, a heartbeat pattern. */
export function routeOf(topic: string, patterns: TopicPatterns, broker: BrokerKind): TopicRoute | null {
  const { event, heartbeat, policy } = patterns;
  const fits = broker === "mqtt" ? matchesFilter : isSameTopic;
  if (heartbeat === topic) return { role: "heartbeat", pattern: heartbeat };
  if (policy !== null && fits(policy, topic)) return { role: "policy", pattern: policy };
  if (event !== null && fits(event, topic)) return { role: "event", pattern: event };
  if (heartbeat !== null && fits(heartbeat, topic)) return { role: "heartbeat", pattern: heartbeat };
  return null;
}

/**
 * Whether an MQTT topic filter takes messages of a topic. `+` is one level, `#` at the end all further levels and the
 * one before it. Neither takes the first level of a topic that starts with `$`, which is the broker's own.
 */
export function matchesFilter(filter: string, topic: string): boolean {
  const wanted = withoutShare(filter).split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) return false;
  const takesRest = wanted.at(-1) === "#";
  if (takesRest) wanted.pop();
  if (takesRest ? levels.length < wanted.length : levels.length !== wanted.length) return false;
  return wanted.every((level, index) => level === "+" || level === levels[index]);
}

/** What keeps text from being an MQTT topic filter, and what would be right; null where it is one. */
export function filterFlaw(filter: string): string | null {
  const levels = withoutShare(filter).split("/");
  if (levels.some((level, index) => level.includes("#") && (level !== "#" || index < levels.length - 1))) {
    return "# takes all further levels, so it must be the last level, alone, as in site/#";
  }
  if (levels.some((level) => level.includes("+") && level !== "+")) {
    return "+ takes one whole level, so it must be alone between slashes, as in site/+/events";
  }
  if (levels.length === 1 && levels[0] === "") return "it is empty; name a topic, such as ilert/events";
  if (filter.includes("\0")) return "it must not hold the character NUL";
  const bytes = new TextEncoder().encode(filter).length;
  return bytes > FILTER_BYTES_MAX ? `it must have at most ${FILTER_BYTES_MAX} bytes` : null;
}

/** Kafka knows no patterns. */
function isSameTopic(configured: string, topic: string): boolean {
  return configured === topic;
}

/** `$share/group/filter` is how a shared subscription is written; its messages come with their own topics. */
function withoutShare(filter: string): string {
  return filter.startsWith("$share/") ? filter.replace(/^\$share\/[^/]*\//, "") : filter;
}
