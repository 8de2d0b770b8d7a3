import { NO_ENRICHMENT } from "./no_enrichment.ts";
import type { MessageMapping } from "../../src/domain/mapping.ts";
import type { MappingConfig } from "../../src/domain/mapping_config.ts";
import type { BrokerKind } from "../../src/domain/topics.ts";

/** Takes events from `events`, heartbeats from `beats`, policy updates from `policies`. */
export function aMapping(
  overrides: Partial<MappingConfig> = {},
  broker: BrokerKind = "mqtt",
): MessageMapping {
  return {
    broker,
    mapping: {
      topics: { event: "events", heartbeat: "beats", policy: "policies" },
      integrationKey: null,
      eventTypePath: null,
      alertKeyPath: null,
      summaryPath: null,
      eventTypeValues: { ALERT: null, ACCEPT: null, RESOLVE: null },
      filter: null,
      forwardPayload: false,
      enrichment: NO_ENRICHMENT,
      ...overrides,
    },
    policy: { routingKeyFields: ["team"], emailPath: "email", shiftPath: "shift", shiftOffset: 0 },
  };
}
