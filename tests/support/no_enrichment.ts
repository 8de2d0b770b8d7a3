import type { Enrichment } from "../../src/domain/enrichment.ts";

export const NO_ENRICHMENT: Enrichment = {
  labels: {},
  labelPaths: {},
  severity: null,
  severityPath: null,
  routingKeyPath: null,
  services: [],
};
