/**
 * What ilert checks in the body of an event. Strict where ilert is lenient only in one point: a body whose
 * integration key differs from the one in the path is refused, because that would be a bug of the agent.
 */

const EVENT_TYPES = ["ALERT", "ACCEPT", "RESOLVE", "COMMENT"] as const;
const PRIORITIES = ["LOW", "HIGH"] as const;
const SEVERITY_MIN = 1;
const SEVERITY_MAX = 5;

export type EventType = typeof EVENT_TYPES[number];

/** An accepted body, as it came: ilert reads a null field as an absent one. */
export interface IlertEvent {
  integrationKey: string;
  eventType: EventType;
  summary?: string | null;
  alertKey?: string | null;
  details?: string | null;
  priority?: typeof PRIORITIES[number] | null;
  severity?: number | null;
  images?: { src: string; href?: string | null; alt?: string | null }[] | null;
  links?: { href: string; text?: string | null }[] | null;
  customDetails?: Record<string, unknown> | null;
  routingKey?: string | null;
  labels?: Record<string, string> | null;
  services?: ({ id: number } | { alias: string })[] | null;
}

export type EventCheck = { kind: "valid"; event: IlertEvent } | { kind: "invalid"; message: string };

/** `pathKey` is the key of `/api/v1/events/{mqtt,kafka}/{key}`; such a body may leave its own out. */
export function checkEvent(body: unknown, pathKey: string | undefined): EventCheck {
  if (!isObject(body)) return invalid("The body is not a JSON object");
  const key = body["integrationKey"] ?? pathKey;
  if (typeof key !== "string" || key === "") return invalid("integrationKey is required");
  if (pathKey !== undefined && key !== pathKey) return invalid("integrationKey differs from the path's");

  const message = problemOfEvent(body);
  if (message !== null) return invalid(message);
  const event = body as unknown as IlertEvent;
  return { kind: "valid", event: body["integrationKey"] === key ? event : { ...event, integrationKey: key } };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): EventCheck {
  return { kind: "invalid", message };
}

function problemOfEvent(body: Record<string, unknown>): string | null {
  const { eventType, summary, priority, severity } = body;
  if (eventType === undefined || eventType === null) return "eventType is required";
  if (!isOneOf(EVENT_TYPES, eventType)) return `eventType must be one of ${EVENT_TYPES.join(", ")}`;
  if (eventType === "ALERT" && (summary === undefined || summary === null || summary === "")) {
    return "summary is required for an ALERT";
  }
  for (const field of ["summary", "alertKey", "details", "routingKey"]) {
    if (!isTextOrAbsent(body[field])) return `${field} must be a string`;
  }
  if (isPresent(priority) && !isOneOf(PRIORITIES, priority)) return "priority must be LOW or HIGH";
  if (isPresent(severity) && !isSeverity(severity)) {
    return `severity must be an integer from ${SEVERITY_MIN} to ${SEVERITY_MAX}`;
  }
  if (isPresent(body["customDetails"]) && !isObject(body["customDetails"])) {
    return "customDetails must be an object";
  }
  if (isPresent(body["labels"]) && !isLabels(body["labels"])) return "labels must map strings to strings";
  return problemOfList(body["images"], isImage, "images must be a list of {src, href?, alt?}") ??
    problemOfList(body["links"], isLink, "links must be a list of {href, text?}") ??
    problemOfList(body["services"], isService, "services must be a list of {id} or {alias}");
}

function problemOfList(
  value: unknown,
  isItem: (item: Record<string, unknown>) => boolean,
  message: string,
): string | null {
  if (!isPresent(value)) return null;
  return Array.isArray(value) && value.every((item) => isObject(item) && isItem(item)) ? null : message;
}

function isImage(item: Record<string, unknown>): boolean {
  return typeof item["src"] === "string" && isTextOrAbsent(item["href"]) && isTextOrAbsent(item["alt"]);
}

function isLink(item: Record<string, unknown>): boolean {
  return typeof item["href"] === "string" && isTextOrAbsent(item["text"]);
}

function isService(item: Record<string, unknown>): boolean {
  if (isPresent(item["id"])) return Number.isInteger(item["id"]) && isTextOrAbsent(item["alias"]);
  return typeof item["alias"] === "string";
}

function isLabels(value: unknown): boolean {
  return isObject(value) && Object.values(value).every((label) => typeof label === "string");
}

function isSeverity(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= SEVERITY_MIN && Number(value) <= SEVERITY_MAX;
}

function isOneOf<T extends string>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value);
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || typeof value === "string";
}
