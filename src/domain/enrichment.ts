/** What the enrichment flags add to an event, from any source. */

import {
  type AlertEvent,
  type EventService,
  isJsonObject,
  isSeverity,
  type JsonObject,
  optionalFieldProblem,
  SEVERITY_MAX,
  SEVERITY_MIN,
} from "./event.ts";
import type { Explain } from "./explanation.ts";

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

/** What the dot paths lead to, where it can be used. */
interface Mapped {
  labels: { [name: string]: string };
  routingKey: string | undefined;
  severity: number | undefined;
}

/**
 * Applies the flags to an event; `message` is the JSON that the dot paths point into. What cannot be used is left
 * out and named in `warnings`; the event itself is always kept.
 */
export function enrich(
  event: AlertEvent,
  message: unknown,
  enrichment: Enrichment,
  explain?: Explain,
): { event: AlertEvent; warnings: string[] } {
  if (isEmpty(enrichment)) return { event, warnings: [] };
  const warnings: string[] = [];
  const mapped = {
    labels: mappedLabels(message, enrichment.labelPaths, warnings),
    routingKey: mappedRoutingKey(message, enrichment.routingKeyPath, warnings),
    severity: mappedSeverity(message, enrichment.severityPath, warnings),
  };
  const labels = { ...event.labels, ...mapped.labels, ...enrichment.labels };
  const enriched = {
    ...event,
    labels: Object.keys(labels).length === 0 ? null : labels,
    routingKey: mapped.routingKey ?? event.routingKey,
    severity: mapped.severity ?? event.severity ?? enrichment.severity,
    services: withServices(event.services, enrichment.services),
  };
  if (explain !== undefined) explainEnrichment(event, enriched, mapped, enrichment, explain);
  return { event: enriched, warnings };
}

/** Asked for each event: most agents add nothing. */
function isEmpty(enrichment: Enrichment): boolean {
  const { labels, labelPaths, severity, severityPath, routingKeyPath, services } = enrichment;
  if (severity !== null || severityPath !== null || routingKeyPath !== null) return false;
  return services.length === 0 && hasNoKey(labels) && hasNoKey(labelPaths);
}

function hasNoKey(object: object): boolean {
  for (const _ in object) return false;
  return true;
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

function mappedRoutingKey(message: unknown, path: string | null, warnings: string[]): string | undefined {
  if (path === null) return undefined;
  const value = mappedText(message, path, "routingKey", warnings);
  const misfit = optionalFieldProblem("routingKey", value);
  if (misfit === undefined) return value;
  warnings.push(`routingKey: the value at '${path}' is left out. ${misfit}`);
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

function mappedSeverity(message: unknown, path: string | null, warnings: string[]): number | undefined {
  if (path === null) return undefined;
  const value = valueAt(message, path);
  if (value === undefined || value === null) return undefined;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (isSeverity(number)) return number;
  warnings.push(`severity: the value at '${path}' is not a number from ${SEVERITY_MIN} to ${SEVERITY_MAX}`);
  return undefined;
}

function withServices(own: EventService[] | null, added: EventService[]): EventService[] | null {
  const missing = added.filter((service) => !own?.some((other) => sameService(service, other)));
  return missing.length === 0 ? own : [...(own ?? []), ...missing];
}

/** What a later line says of a field holds. */
function explainEnrichment(
  before: AlertEvent,
  after: AlertEvent,
  mapped: Mapped,
  { labels, labelPaths, severityPath, routingKeyPath }: Enrichment,
  explain: Explain,
): void {
  for (const name of Object.keys(mapped.labels)) {
    explain(`labels.${name}`, `from '${labelPaths[name]}' (--map_key_label)`);
  }
  for (const name of Object.keys(labels)) explain(`labels.${name}`, "given by --label");
  if (mapped.routingKey !== undefined) {
    explain("routingKey", `from '${routingKeyPath}' (--map_key_routing_key)`);
  }
  if (mapped.severity !== undefined) explain("severity", `from '${severityPath}' (--map_key_severity)`);
  else if (after.severity !== before.severity) explain("severity", "given by --severity");
  if (after.services !== before.services) explain("services", "with those of --service");
}

function sameService(a: EventService, b: EventService): boolean {
  return "id" in a && "id" in b ? a.id === b.id : "alias" in a && "alias" in b && a.alias === b.alias;
}
