/** An event as a row of `event_items`, and back. */

import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import type { AlertEvent, EventType, Priority } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import type { Row } from "./array_statement.ts";
import type { QueuedEvent } from "./queue.ts";

/** In the order of `valuesOf` and `storedEvent`. */
export const COLUMNS =
  `id, created_at, integration_key, event_type, alert_key, summary, priority, images, links, custom_details,
  details, event_api_path, severity, routing_key, labels, services, attempts`;

/** An event and where it lies. */
export interface StoredEvent {
  rowid: number;
  queued: QueuedEvent;
}

export function valuesOf(queued: QueuedEvent): SQLInputValue[] {
  const { event } = queued;
  return [
    queued.id,
    isoOf(queued.acceptedAt),
    event.integrationKey,
    event.eventType,
    event.alertKey,
    event.summary,
    event.priority,
    jsonText(event.images),
    jsonText(event.links),
    jsonText(event.customDetails),
    event.details,
    queued.apiPath,
    event.severity,
    event.routingKey,
    jsonText(event.labels),
    jsonText(event.services),
    queued.attempts,
  ];
}

/** Of a statement that reads `rowid, ${COLUMNS}`. */
export function storedEvent(row: Row): StoredEvent {
  // deno-fmt-ignore
  const [rowid, id, createdAt, integrationKey, eventType, alertKey, summary, priority, images, links,
    customDetails, details, apiPath, severity, routingKey, labels, services, attempts] = row;
  const event: AlertEvent = {
    integrationKey: String(integrationKey),
    eventType: eventType as EventType,
    summary: String(summary),
    // Another program may have left a BLOB; as anything but text it could never be settled.
    alertKey: alertKey === null ? null : String(alertKey),
    details: details as string | null,
    priority: priority as Priority | null,
    severity: severity as number | null,
    images: fromJsonText(images) as AlertEvent["images"],
    links: fromJsonText(links) as AlertEvent["links"],
    customDetails: fromJsonText(customDetails) ?? undefined,
    routingKey: routingKey as string | null,
    labels: fromJsonText(labels) as AlertEvent["labels"],
    services: fromJsonText(services) as AlertEvent["services"],
  };
  return {
    rowid: Number(rowid),
    queued: {
      id: String(id),
      event,
      apiPath: apiPath as string | null,
      attempts: Number(attempts),
      acceptedAt: acceptedAtOf(createdAt),
    },
  };
}

/** Ours is ISO 8601, the Rust agent's `2026-05-04 10:00:00.123456789 UTC`. */
export function acceptedAtOf(createdAt: SQLOutputValue | undefined): number {
  const text = String(createdAt);
  const isOurs = text.length === ISO_LENGTH && text.endsWith("Z");
  const at = Date.parse(
    isOurs ? text : text.replace(" UTC", "Z").replace(" ", "T").replace(/(\.\d{3})\d+/, "$1"),
  );
  return Number.isNaN(at) ? 0 : at;
}

const ISO_LENGTH = "2026-05-04T10:00:00.000Z".length;
let lastAt = NaN;
let lastIso = "";

/** Many events come in one millisecond. */
function isoOf(at: number): string {
  if (at !== lastAt) {
    lastIso = new Date(at).toISOString();
    lastAt = at;
  }
  return lastIso;
}

/** As `DEFAULT(STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))` of the Rust agent, which sends in this order. */
export function insertedAtOf(at: number): string {
  return isoOf(at).replace("T", " ").slice(0, -1);
}

function jsonText(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/** Null where another program left something that is not JSON, as the Rust agent reads it too. */
function fromJsonText(text: SQLOutputValue | undefined): unknown {
  if (typeof text !== "string") return null;
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
