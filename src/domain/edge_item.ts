/** One alert event that ilert hands out through an edge connection. Source: contract §5. */

import { isRawNumber } from "./json.ts";
import type { JsonObject } from "./event.ts";

export interface EdgeItem {
  /** As ilert wrote it; exact, however large the number. */
  readonly id: string;
  readonly payload: JsonObject;
  /** The payload as JSON text, what every target gets. */
  readonly body: string;
}

/** What targets are told beside the payload; empty where the payload lacks it. */
export interface EdgeItemFacts {
  readonly eventType: string;
  readonly alertId: string;
  readonly timestamp: string;
}

export function edgeItem(id: string, payload: JsonObject): EdgeItem {
  return { id, payload, body: JSON.stringify(payload) };
}

export function factsOf({ payload }: EdgeItem): EdgeItemFacts {
  return {
    eventType: textOf(payload.eventType),
    alertId: textOf(payload.id),
    timestamp: textOf(payload.timestamp),
  };
}

/** A number is read as text, its digits unchanged. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || isRawNumber(value) ? JSON.stringify(value) : "";
}
