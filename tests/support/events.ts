import type { AlertEvent } from "../../src/domain/event.ts";

/** A complete event; `overrides` says what the test is about. */
export function anEvent(overrides: Partial<AlertEvent> = {}): AlertEvent {
  return {
    integrationKey: "il1api-test-key",
    eventType: "ALERT",
    summary: "Disk full",
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
    ...overrides,
  };
}
