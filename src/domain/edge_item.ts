/** One alert event that ilert hands out through an edge connection. Source: contract §5. */

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
