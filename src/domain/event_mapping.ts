/** A JSON message → an event: the message's own fields, what is mapped over them, and the defaults. Source: contract §4. */

import { enrich, mappedText } from "./enrichment.ts";
import {
  type AlertEvent,
  EVENT_TYPES,
  isEventType,
  type JsonObject,
  optionalFieldProblem,
  parseEvent,
} from "./event.ts";
import type { Explain } from "./explanation.ts";
import { quoted } from "./quoted.ts";
import type { MappingConfig } from "./mapping_config.ts";
import type { BrokerKind } from "./topics.ts";
import { keyProblem } from "./usable_key.ts";

export interface MessageOrigin {
  readonly broker: BrokerKind;
  readonly topic: string;
  /** Kafka's message key. */
  readonly key: string | null;
}

export type MappedEvent =
  | { kind: "event"; event: AlertEvent; apiPath: string }
  | { kind: "unusable"; reason: string };

/**
 * The agent before this one knew no such fields and sent messages that use their names for something else without
 * them, so these are left out where they do not fit, while any other misfit makes the message unusable.
 */
const FORGIVEN_FIELDS = ["severity", "routingKey", "labels", "services"] as const;

/** Reads an event; what is ignored is named in `warnings`. */
export function mapEvent(
  json: JsonObject,
  origin: MessageOrigin,
  config: MappingConfig,
  warnings: string[],
  explain?: Explain,
): MappedEvent {
  const integrationKey = config.integrationKey ?? json.integrationKey ?? json.apiKey;
  const keyTrouble = keyProblem(integrationKey);
  if (keyTrouble !== null) return { kind: "unusable", reason: keyTrouble };
  explain?.("integrationKey", config.integrationKey === null ? "the message's own" : "given by --event_key");
  const eventType = eventTypeOf(json, config, warnings, explain);
  if (!isEventType(eventType)) return { kind: "unusable", reason: unknownType(eventType, config) };
  const parsed = parseEvent({
    integrationKey,
    eventType,
    alertKey: textOf(json, "alertKey", config.alertKeyPath, "--map_key_alert_key", warnings, explain),
    summary: summaryOf(json, eventType, origin.topic, config, warnings, explain),
    ...ownFields(json, ["details", "priority", "images", "links"], explain),
    ...forgivenFields(json, warnings, explain),
    customDetails: customDetailsOf(json, origin, config.forwardPayload, explain),
  });
  if (!parsed.ok) return { kind: "unusable", reason: parsed.problem };
  const enriched = enrich(parsed.event, json, config.enrichment, explain);
  warnings.push(...enriched.warnings);
  return {
    kind: "event",
    event: enriched.event,
    apiPath: `/v1/events/${origin.broker}/${encodeURIComponent(integrationKey as string)}`,
  };
}

function eventTypeOf(
  json: JsonObject,
  config: MappingConfig,
  warnings: string[],
  explain?: Explain,
): unknown {
  const { eventTypePath: path, eventTypeValues } = config;
  const mapped = path === null ? undefined : mappedText(json, path, "eventType", warnings);
  if (mapped === undefined) {
    const own = json.eventType ?? null;
    explain?.("eventType", own === null ? "ALERT, because the message has none" : "the message's own");
    return own ?? "ALERT";
  }
  // Where one value is given for two types, the later of alert, accept and resolve holds.
  for (const type of ["RESOLVE", "ACCEPT", "ALERT"] as const) {
    if (mapped !== eventTypeValues[type]) continue;
    const flag = `--map_val_etype_${type.toLowerCase()}`;
    explain?.("eventType", `'${mapped}' at '${path}' (--map_key_etype) means ${type} (${flag})`);
    return type;
  }
  explain?.("eventType", `from '${path}' (--map_key_etype)`);
  return mapped;
}

function unknownType(value: unknown, { eventTypePath }: MappingConfig): string {
  if (typeof value !== "string") return "Field 'eventType' must be a string.";
  const place = eventTypePath === null ? "" : ", nor a value of --map_val_etype_alert, _accept or _resolve";
  return `the event type ${quoted(value)} is none of ${EVENT_TYPES.join(", ")}${place}`;
}

function textOf(
  json: JsonObject,
  field: "alertKey" | "summary",
  path: string | null,
  flag: string,
  warnings: string[],
  explain?: Explain,
): unknown {
  const mapped = path === null ? undefined : mappedText(json, path, field, warnings);
  if (mapped !== undefined) {
    explain?.(field, `from '${path}' (${flag})`);
    return mapped;
  }
  const own = json[field] ?? null;
  if (own !== null) explain?.(field, "the message's own");
  return own;
}

/** ilert takes no ALERT without a summary, and an empty one is none. Other types need none, but their field. */
function summaryOf(
  json: JsonObject,
  eventType: string,
  topic: string,
  config: MappingConfig,
  warnings: string[],
  explain?: Explain,
): unknown {
  const summary = textOf(json, "summary", config.summaryPath, "--map_key_summary", warnings, explain);
  const isMissing = summary === null || (typeof summary === "string" && summary.trim() === "");
  if (!isMissing) return summary;
  if (eventType !== "ALERT") return "";
  explain?.("summary", "made of the topic, because an ALERT needs one and the message has none");
  return `New alert from ${topic}`;
}

function ownFields(json: JsonObject, names: readonly string[], explain?: Explain): JsonObject {
  const fields: JsonObject = {};
  for (const name of names) {
    const value = json[name] ?? null;
    if (value === null) continue;
    fields[name] = value;
    explain?.(name, "the message's own");
  }
  return fields;
}

function forgivenFields(json: JsonObject, warnings: string[], explain?: Explain): JsonObject {
  return ownFields(
    json,
    FORGIVEN_FIELDS.filter((name) => {
      const problem = optionalFieldProblem(name, json[name]);
      if (problem !== undefined) warnings.push(`${name}: left out. ${problem}`);
      return problem === undefined;
    }),
    explain,
  );
}

function customDetailsOf(
  json: JsonObject,
  { broker, topic, key }: MessageOrigin,
  forwardPayload: boolean,
  explain?: Explain,
): unknown {
  const own = json.customDetails ?? null;
  if (own !== null) {
    explain?.("customDetails", "the message's own");
    return own;
  }
  if (forwardPayload) {
    explain?.("customDetails", "the whole message (--forward_message_payload)");
    return json;
  }
  explain?.("customDetails", "where the message came from, because it has none");
  return broker === "mqtt" ? { topic } : { messageKey: key ?? "", topic };
}
