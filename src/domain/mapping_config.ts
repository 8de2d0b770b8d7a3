/** How messages of a broker become events, heartbeats and policy updates. Source: contract §4. */

import type { Enrichment } from "./enrichment.ts";

export interface MappingConfig {
  topics: TopicPatterns;
  /** In place of the messages' own keys. */
  integrationKey: string | null;
  eventTypePath: string | null;
  alertKeyPath: string | null;
  summaryPath: string | null;
  /** The mapped values that stand for an event type. */
  eventTypeValues: { ALERT: string | null; ACCEPT: string | null; RESOLVE: string | null };
  filter: { field: string; value: string | null } | null;
  forwardPayload: boolean;
  enrichment: Enrichment;
}

/** At least one is given. */
export interface TopicPatterns {
  event: string | null;
  heartbeat: string | null;
  policy: string | null;
}

export interface PolicyMapping {
  routingKeyFields: string[];
  emailPath: string;
  shiftPath: string;
  shiftOffset: number;
}
