/** What is added to every event. */

import * as values from "../values.ts";
import { ENRICHED, flag } from "./flag.ts";

export const enrichmentFlags = {
  label: flag({
    group: "Enrichment",
    value: "NAME=VALUE",
    help: "Add a label to every event; wins over the event's own",
    commands: ENRICHED,
    parse: values.pair,
    repeatable: true,
  }),
  map_key_label: flag({
    group: "Enrichment",
    value: "NAME=PATH",
    help: "Add a label from a dot path of the message, such as host=data.host",
    commands: ENRICHED,
    parse: values.pair,
    repeatable: true,
  }),
  severity: flag({
    group: "Enrichment",
    value: "1..5",
    help: "Severity of events that carry none",
    commands: ENRICHED,
    parse: values.severity,
  }),
  map_key_severity: flag({
    group: "Enrichment",
    value: "PATH",
    help: "Severity from a dot path of the message (a number or its text)",
    commands: ENRICHED,
    parse: values.text,
  }),
  map_key_routing_key: flag({
    group: "Enrichment",
    value: "PATH",
    help: "Routing key from a dot path of the message",
    commands: ENRICHED,
    parse: values.text,
  }),
  service: flag({
    group: "Enrichment",
    value: "alias=NAME|id=N",
    help: "Add an affected service to every event",
    commands: ENRICHED,
    parse: values.service,
    repeatable: true,
  }),
} as const;
