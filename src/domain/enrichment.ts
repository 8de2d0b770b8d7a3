/** What the enrichment flags add to an event, from any source. */

import {
  type AlertEvent,
  type EventService,
  isJsonObject,
  isSeverity,
  type JsonObject,
  SEVERITY_MAX,
  SEVERITY_MIN,
} from "./event.ts";

export interface Enrichment {
  /** Win over mapped labels and the event's own. */
  labels: { [name: string]: string };
  /** Label name → dot path into the message. */
  labelPaths: { [name: string]: string };
  /** Given to events that carry none. */
  severity: number | null;
  severityPath: string | null;
  routingKeyPath: string | null;
  services: EventService[];
}

export const NO_ENRICHMENT: Enrichment = {
  labels: {},
  labelPaths: {},
  severity: null,
  severityPath: null,
  routingKeyPath: null,
  services: [],
};

/**
 * Applies the flags to an event; `message` is the JSON that the dot paths point into. What cannot be used is left
 * out and named in `warnings`; the event itself is always kept.
 */
export function enrich(
  event: AlertEvent,
  message: unknown,
  enrichment: Enrichment,
): { event: AlertEvent; warnings: string[] } {
  if (enrichment === NO_ENRICHMENT) return { event, warnings: [] };
  const warnings: string[] = [];
  const mapped = mappedLabels(message, enrichment.labelPaths, warnings);
  const labels = { ...event.labels, ...mapped, ...enrichment.labels };
  const routingKey = enrichment.routingKeyPath === null
    ? undefined
    : mappedText(message, enrichment.routingKeyPath, "routingKey", warnings);
  const severity = mappedSeverity(message, enrichment.severityPath, warnings) ?? event.severity;
  return {
    event: {
      ...event,
      labels: Object.keys(labels).length === 0 ? null : labels,
      routingKey: routingKey ?? event.routingKey,
      severity: severity ?? enrichment.severity,
      services: withServices(event.services, enrichment.services),
    },
    warnings,
  };
}

/** The value at a dot path such as `data.host.name`; undefined where there is none. Own properties only. */
export function valueAt(message: unknown, path: string): unknown {
  let value = message;
  for (const name of path.split(".")) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = (value as JsonObject)[name];
  }
  return value;
}

/** The string at a dot path; anything else is ignored, with a warning where something else is there. */
export function mappedText(
  message: unknown,
  path: string,
  field: string,
  warnings: string[],
): string | undefined {
  const value = valueAt(message, path);
  if (typeof value === "string") return value;
  if (value !== undefined && value !== null) {
    warnings.push(`${field}: the value at '${path}' is not a string`);
  }
  return undefined;
}

function mappedLabels(message: unknown, paths: { [name: string]: string }, warnings: string[]) {
  const labels: { [name: string]: string } = {};
  for (const [name, path] of Object.entries(paths)) {
    const value = mappedText(message, path, `label ${name}`, warnings);
    if (value !== undefined) labels[name] = value;
  }
  return labels;
}

function mappedSeverity(message: unknown, path: string | null, warnings: string[]): number | null {
  if (path === null) return null;
  const value = valueAt(message, path);
  if (value === undefined || value === null) return null;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (isSeverity(number)) return number;
  warnings.push(`severity: the value at '${path}' is not a number from ${SEVERITY_MIN} to ${SEVERITY_MAX}`);
  return null;
}

function withServices(own: EventService[] | null, added: EventService[]): EventService[] | null {
  const missing = added.filter((service) => !own?.some((other) => sameService(service, other)));
  return missing.length === 0 ? own : [...(own ?? []), ...missing];
}

function sameService(a: EventService, b: EventService): boolean {
  return "id" in a && "id" in b ? a.id === b.id : "alias" in a && "alias" in b && a.alias === b.alias;
}
