/** Messages mapped with settings that a test names only where they matter. */

import assert from "node:assert/strict";
import { NO_ENRICHMENT } from "./no_enrichment.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import { mapMessage, type MappedMessage, type MessageMapping } from "../../src/domain/mapping.ts";
import type { MappingConfig, PolicyMapping } from "../../src/domain/mapping_config.ts";

/** Takes `events/#`, `beats` and `shifts`, and changes nothing. */
export const PLAIN_MAPPING: MappingConfig = {
  topics: { event: "events/#", heartbeat: "beats", policy: "shifts" },
  integrationKey: null,
  eventTypePath: null,
  alertKeyPath: null,
  summaryPath: null,
  eventTypeValues: { ALERT: null, ACCEPT: null, RESOLVE: null },
  filter: null,
  forwardPayload: false,
  enrichment: NO_ENRICHMENT,
};

export const POLICY_MAPPING: PolicyMapping = {
  routingKeyFields: ["location", "slot"],
  emailPath: "data.email",
  shiftPath: "data.shift",
  shiftOffset: 0,
};

export function mapped(
  payload: unknown,
  config: Partial<MappingConfig> = {},
  given: Partial<MessageMapping> & { topic?: string; key?: string | null } = {},
): MappedMessage {
  const { topic = "events/a", key = null, ...rest } = given;
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  return mapMessage(
    { topic, key, payload: new TextEncoder().encode(text) },
    { broker: "mqtt", mapping: { ...PLAIN_MAPPING, ...config }, policy: POLICY_MAPPING, ...rest },
  );
}

export function eventOf(message: MappedMessage): AlertEvent {
  assert.equal(message.kind, "event", JSON.stringify(message));
  return (message as MappedMessage & { kind: "event" }).event;
}

export function reasonOf(message: MappedMessage): string {
  assert.equal(message.kind, "unusable", JSON.stringify(message));
  return (message as MappedMessage & { kind: "unusable" }).reason;
}
