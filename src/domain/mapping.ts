/**
 * A broker's message → what the agent does with it. Pure, and the same for messages that arrive and for those that
 * the queue kept. Source: contract §4.
 */

import { type AlertEvent, isJsonObject, type JsonObject } from "./event.ts";
import { mapEvent } from "./event_mapping.ts";
import type { Explain } from "./explanation.ts";
import { isNestedTooDeeply, NESTING_MAX, parseJson } from "./json.ts";
import type { MappingConfig, PolicyMapping } from "./mapping_config.ts";
import { mapPolicy, type PolicyUpdate } from "./policy_update.ts";
import { quoted } from "./quoted.ts";
import { type BrokerKind, type MessageRole, routeOf } from "./topics.ts";
import { keyProblem } from "./usable_key.ts";

export interface IncomingMessage {
  readonly topic: string;
  /** Text where the queue kept it. */
  readonly payload: Uint8Array | string;
  /** Kafka's message key. */
  readonly key: string | null;
}

export interface MessageMapping {
  readonly broker: BrokerKind;
  readonly mapping: MappingConfig;
  /** Null without a policy topic. */
  readonly policy: PolicyMapping | null;
}

/** `warnings` are clauses for the log about what of the message was ignored. */
export type MappedMessage =
  & (
    | { kind: "event"; event: AlertEvent; /** Below `{api}/api`. */ apiPath: string }
    | { kind: "heartbeat"; key: string }
    | { kind: "policy"; update: PolicyUpdate }
    /** Not wanted: to be acknowledged, counted and forgotten. */
    | { kind: "filtered"; why: string }
    /** Wanted, but nothing can be made of it: a dead letter. */
    | { kind: "unusable"; role: MessageRole; reason: string }
  )
  & { warnings: readonly string[] };

/** Never throws, whatever the message is. */
export function mapMessage(
  message: IncomingMessage,
  { broker, mapping, policy }: MessageMapping,
  explain?: Explain,
): MappedMessage {
  const warnings: string[] = [];
  const route = routeOf(message.topic, mapping.topics, broker);
  if (route === null || (route.role === "policy" && policy === null)) {
    return {
      kind: "filtered",
      why: `no configured topic takes messages of ${quoted(message.topic)}`,
      warnings,
    };
  }
  const { role } = route;
  explain?.("topic", `'${route.pattern}' (--${role}_topic) takes it`);
  const read = readPayload(message.payload);
  if ("problem" in read) return { kind: "unusable", role, reason: read.problem, warnings };
  const { json } = read;
  if (role === "heartbeat") return { ...mapHeartbeat(json, explain), warnings };

  const why = dropReason(json, mapping.filter);
  if (why !== null) return { kind: "filtered", why, warnings };
  const mapped = role === "event"
    ? mapEvent(json, { ...message, broker }, mapping, warnings, explain)
    : mapPolicy(json, policy as PolicyMapping, warnings, explain);
  return mapped.kind === "unusable" ? { ...mapped, role, warnings } : { ...mapped, warnings };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function readPayload(payload: Uint8Array | string): { json: JsonObject } | { problem: string } {
  let text: string;
  try {
    text = typeof payload === "string" ? payload : utf8.decode(payload);
  } catch {
    return { problem: "the message is not UTF-8 text" };
  }
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) return { problem: "the message is nested too deeply" };
    const detail = text.trim() === "" ? "it is empty" : error.message.replace(/[\s\p{Cc}]+/gu, " ");
    return { problem: `the message is not JSON: ${detail}` };
  }
  if (!isJsonObject(json)) return { problem: "the message is not a JSON object" };
  if (isNestedTooDeeply(text, json)) {
    return { problem: `the message is nested more than ${NESTING_MAX} levels deep` };
  }
  return { json };
}

function mapHeartbeat(
  json: JsonObject,
  explain?: Explain,
): { kind: "heartbeat"; key: string } | { kind: "unusable"; role: "heartbeat"; reason: string } {
  const key = json.integrationKey ?? json.apiKey;
  const problem = keyProblem(key);
  if (problem !== null) return { kind: "unusable", role: "heartbeat", reason: problem };
  explain?.("key", "the message's own");
  return { kind: "heartbeat", key: key as string };
}

/** Null where the message passes. */
function dropReason(json: JsonObject, filter: MappingConfig["filter"]): string | null {
  if (filter === null) return null;
  const { field, value } = filter;
  if (!Object.hasOwn(json, field)) return `it has no field '${field}' (--filter_key)`;
  if (value === null || json[field] === value) return null;
  return `its field '${field}' is not the text '${value}' (--filter_val)`;
}
