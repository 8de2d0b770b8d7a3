/** `ilagent map` inside the jail: what a message would become, and which rule set each field. Nothing is sent. */

import { type AlertEvent, eventBody } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import {
  type IncomingMessage,
  mapMessage,
  type MappedMessage,
  type MessageMapping,
} from "../domain/mapping.ts";
import { printLine, reportLine } from "../runtime/print.ts";
import { redactKey } from "../runtime/redact.ts";

export interface MapJob {
  kind: "map";
  message: IncomingMessage;
  mapping: MessageMapping;
  json: boolean;
}

/** 1 where the message would be a dead letter. */
export function showMapping({ message, mapping, json }: MapJob): number {
  // A field that several rules set has the last one's value.
  const reasons = new Map<string, string>();
  const mapped = mapMessage(message, mapping, (field, why) => reasons.set(field, why));
  if (json) printLine(JSON.stringify(asJson(mapped, reasons)));
  else if (mapped.kind !== "unusable") printLine(asText(mapped, reasons));
  else reportLine(`this message would be a dead letter: ${mapped.reason}`);
  return mapped.kind === "unusable" ? 1 : 0;
}

function asJson(mapped: MappedMessage, reasons: ReadonlyMap<string, string>): Record<string, unknown> {
  const facts = { ...mapped, reasons: Object.fromEntries(reasons) };
  switch (facts.kind) {
    case "event": {
      const { apiPath: _, ...rest } = facts;
      return { ...rest, path: pathOf(facts), event: bodyOf(facts.event) };
    }
    case "heartbeat":
      return { ...facts, key: redactKey(facts.key) };
    default:
      return facts;
  }
}

function asText(
  mapped: Exclude<MappedMessage, { kind: "unusable" }>,
  reasons: ReadonlyMap<string, string>,
): string {
  const width = Math.max(...[...reasons.keys(), "warning"].map((field) => field.length)) + 2;
  const rows = [
    ...reasons,
    ...mapped.warnings.map((warning): [string, string] => ["warning", warning]),
  ];
  const table = rows.map(([field, why]) => `${field.padEnd(width)}${why}`).join("\n");
  return `${verdictOf(mapped)}${table === "" ? "" : `\n\n${table}`}`;
}

function verdictOf(mapped: Exclude<MappedMessage, { kind: "unusable" }>): string {
  switch (mapped.kind) {
    case "event": {
      const body = JSON.stringify(bodyOf(mapped.event), null, 2);
      return `This message would be posted to ilert as an event, to ${pathOf(mapped)}:\n\n${body}`;
    }
    case "heartbeat":
      return `This message would ping the heartbeat ${redactKey(mapped.key)}.`;
    case "policy": {
      const { email, routingKey, level } = mapped.update;
      return `This message would make ${
        JSON.stringify(email)
      } the user of level ${level} of the escalation ` +
        `policy with the routing key ${JSON.stringify(routingKey)}.`;
    }
    case "filtered":
      return `This message would be acknowledged and dropped: ${mapped.why}.`;
  }
}

function pathOf({ event, apiPath }: { event: AlertEvent; apiPath: string }): string {
  return `/api${apiPath.slice(0, apiPath.lastIndexOf("/") + 1)}${redactKey(event.integrationKey)}`;
}

/** As it would be sent, but for keys, which a forwarded message has in its `customDetails` too. */
function bodyOf(event: AlertEvent): unknown {
  const isKey = (name: string, value: string) =>
    name === "integrationKey" || name === "apiKey" || value === event.integrationKey;
  const masked = JSON.stringify(
    parseJson(eventBody(event)),
    (name, value) => typeof value === "string" && isKey(name, value) ? redactKey(value) : value,
  );
  return parseJson(masked);
}
