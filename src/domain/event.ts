/** An alert event as ilert's events API takes it. Source: contract of `POST /api/events`. */

import { isRawNumber } from "./json.ts";

export const EVENT_TYPES = ["ALERT", "ACCEPT", "RESOLVE", "COMMENT"] as const;
export const PRIORITIES = ["LOW", "HIGH"] as const;
export const SEVERITY_MIN = 1;
export const SEVERITY_MAX = 5;

export type EventType = typeof EVENT_TYPES[number];
export type Priority = typeof PRIORITIES[number];
export type EventImage = { src: string; href?: string | null; alt?: string | null };
export type EventLink = { href: string; text?: string | null };
export type EventService = { id: number } | { alias: string };
export type JsonObject = { [key: string]: unknown };

export interface AlertEvent {
  integrationKey: string;
  eventType: EventType;
  summary: string;
  alertKey: string | null;
  details: string | null;
  priority: Priority | null;
  severity: number | null;
  images: EventImage[] | null;
  links: EventLink[] | null;
  /** Any JSON; undefined where the sender gave none. */
  customDetails: unknown;
  routingKey: string | null;
  labels: { [name: string]: string } | null;
  services: EventService[] | null;
}

/** Those whose shape is checked alike, in this order. */
const OPTIONAL_FIELDS = [
  "alertKey",
  "details",
  "routingKey",
  "severity",
  "images",
  "links",
  "services",
  "labels",
] as const;

export type OptionalField = typeof OPTIONAL_FIELDS[number];

export type ParsedEvent = { ok: true; event: AlertEvent } | { ok: false; problem: string };

/** Reads an event from parsed JSON; a problem is one sentence that names the field. Unknown fields are ignored. */
export function parseEvent(json: unknown): ParsedEvent {
  if (!isJsonObject(json)) return problem("The event must be a JSON object.");
  const { eventType, priority } = json;
  const integrationKey = json.integrationKey ?? json.apiKey;
  if (absent(integrationKey)) return problem("Missing field 'integrationKey'.");
  if (typeof integrationKey !== "string") return problem("Field 'integrationKey' must be a string.");
  if (integrationKey.trim() === "") return problem("Field 'integrationKey' must not be empty.");
  if (absent(eventType)) return problem("Missing field 'eventType'.");
  if (!isEventType(eventType)) return problem("Unsupported value for field 'eventType'.");
  if (absent(json.summary)) return problem("Missing field 'summary'.");
  if (typeof json.summary !== "string") return problem("Field 'summary' must be a string.");
  for (const name of ["integrationKey", "apiKey", "summary"]) {
    if (hasNul(json[name])) return problem(nulProblem(name));
  }
  if (!absent(priority) && !isPriority(priority)) return problem("Unsupported value for field 'priority'.");
  for (const name of OPTIONAL_FIELDS) {
    const misfit = optionalFieldProblem(name, json[name]);
    if (misfit !== undefined) return problem(misfit);
  }
  return {
    ok: true,
    event: {
      integrationKey: integrationKey.toWellFormed(),
      eventType,
      summary: json.summary.toWellFormed(),
      // An empty key groups nothing; as a lane it would put strangers in one line.
      alertKey: wellFormed(json.alertKey || null),
      details: wellFormed(json.details),
      priority: priority ?? null,
      severity: (json.severity ?? null) as number | null,
      images: (json.images ?? null) as EventImage[] | null,
      links: (json.links ?? null) as EventLink[] | null,
      customDetails: json.customDetails ?? undefined,
      routingKey: wellFormed(json.routingKey),
      labels: (json.labels ?? null) as { [name: string]: string } | null,
      services: (json.services ?? null) as EventService[] | null,
    },
  };
}

/** Null and absent fit every optional field; else one sentence that names it. */
export function optionalFieldProblem(name: OptionalField, value: unknown): string | undefined {
  if (absent(value)) return undefined;
  switch (name) {
    case "severity":
      return isSeverity(value) ? undefined : "Unsupported value for field 'severity'.";
    case "images":
      return misshapenList(value, name, isImage, "{src, href, alt}");
    case "links":
      return misshapenList(value, name, isLink, "{href, text}");
    case "services":
      return misshapenList(value, name, isService, "{id} or {alias}");
    case "labels":
      return misshapenLabels(value);
    default:
      if (typeof value !== "string") return `Field '${name}' must be a string.`;
      return hasNul(value) ? nulProblem(name) : undefined;
  }
}

/** An event with nothing but what every event needs. */
export function minimalEvent(integrationKey: string, eventType: EventType, summary: string): AlertEvent {
  return {
    integrationKey,
    eventType,
    summary,
    alertKey: null,
    details: null,
    priority: null,
    severity: null,
    images: null,
    links: null,
    customDetails: undefined,
    routingKey: null,
    labels: null,
    services: null,
  };
}

/** The body ilert gets: absent fields are left out, what is inside `customDetails` is untouched. */
export function eventBody(event: AlertEvent): string {
  const body: Partial<Record<keyof AlertEvent, unknown>> = {};
  let field: keyof AlertEvent;
  for (field in event) if (event[field] !== null) body[field] = event[field];
  return JSON.stringify(body);
}

export function isEventType(value: unknown): value is EventType {
  return EVENT_TYPES.includes(value as EventType);
}

export function isPriority(value: unknown): value is Priority {
  return PRIORITIES.includes(value as Priority);
}

export function isSeverity(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= SEVERITY_MIN && (value as number) <= SEVERITY_MAX;
}

/** A number kept as its source text (`parseJson`) is an object to JavaScript, but not to JSON. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawNumber(value);
}

function problem(text: string): ParsedEvent {
  return { ok: false, problem: text };
}

/** With U+FFFD for half a surrogate pair, as a column has it when it is read back: a lane has one name. */
function wellFormed(text: unknown): string | null {
  return (text as string | null | undefined)?.toWellFormed() ?? null;
}

function absent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function misshapenList(
  list: unknown,
  name: string,
  isItem: (item: unknown) => boolean,
  shape: string,
): string | undefined {
  if (Array.isArray(list) && list.every(isItem)) return undefined;
  return `Field '${name}' must be a list of ${shape}.`;
}

function misshapenLabels(labels: unknown): string | undefined {
  if (isJsonObject(labels) && Object.values(labels).every((value) => typeof value === "string")) {
    return undefined;
  }
  return "Field 'labels' must be an object of strings.";
}

/** SQLite ends a text at such a character when it is read back, and a lane with it. */
function hasNul(value: unknown): boolean {
  return typeof value === "string" && value.includes("\0");
}

function nulProblem(name: string): string {
  return `Field '${name}' must not contain the character U+0000.`;
}

function isImage(item: unknown): item is EventImage {
  return isJsonObject(item) && typeof item.src === "string" && textOrAbsent(item.href) &&
    textOrAbsent(item.alt);
}

function isLink(item: unknown): item is EventLink {
  return isJsonObject(item) && typeof item.href === "string" && textOrAbsent(item.text);
}

function isService(item: unknown): item is EventService {
  return isJsonObject(item) && (typeof item.id === "number" || typeof item.alias === "string");
}

function textOrAbsent(value: unknown): boolean {
  return absent(value) || typeof value === "string";
}
