/** What the flags add to every event. */

import type { Enrichment } from "../domain/enrichment.ts";
import type { FlagValues } from "./flags.ts";

export function enrichmentOf(values: FlagValues): Enrichment {
  return {
    labels: Object.fromEntries(values.label),
    labelPaths: Object.fromEntries(values.map_key_label),
    severity: values.severity ?? null,
    severityPath: values.map_key_severity ?? null,
    routingKeyPath: values.map_key_routing_key ?? null,
    services: values.service,
  };
}
