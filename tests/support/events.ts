import { type AlertEvent, minimalEvent } from "../../src/domain/event.ts";

/** A complete event; `overrides` says what the test is about. */
export function anEvent(overrides: Partial<AlertEvent> = {}): AlertEvent {
  return { ...minimalEvent("il1api-test-key", "ALERT", "Disk full"), ...overrides };
}
