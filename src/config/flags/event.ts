/** The one event, or heartbeat, that a command sends. */

import * as values from "../values.ts";
import { flag } from "./flag.ts";

export const eventFlags = {
  integration_key: flag({
    group: "Event",
    short: "k",
    value: "KEY",
    help: "Integration key of the alert source or heartbeat",
    commands: ["event", "heartbeat"],
    parse: values.key,
    variables: ["ILERT_INTEGRATION_KEY"],
    secret: true,
    required: ["event", "heartbeat"],
  }),
  event_type: flag({
    group: "Event",
    short: "t",
    value: "TYPE",
    help: "ALERT, ACCEPT, RESOLVE or COMMENT",
    commands: ["event"],
    parse: values.eventType,
    required: ["event"],
  }),
  summary: flag({
    group: "Event",
    short: "s",
    value: "TEXT",
    help: "Summary of the event",
    commands: ["event"],
    parse: values.text,
    required: ["event"],
  }),
  alert_key: flag({
    group: "Event",
    short: "i",
    value: "KEY",
    help: "Key by which ilert groups events into one alert",
    commands: ["event"],
    parse: values.text,
  }),
  priority: flag({
    group: "Event",
    short: "o",
    value: "LOW|HIGH",
    help: "Priority of the alert",
    commands: ["event"],
    parse: values.priority,
  }),
  details: flag({
    group: "Event",
    short: "d",
    value: "TEXT",
    help: "Details of the event",
    commands: ["event"],
    parse: values.text,
  }),
  image: flag({
    group: "Event",
    short: "g",
    value: "URL",
    help: "Image to attach",
    commands: ["event"],
    parse: values.httpUrl,
  }),
  link: flag({
    group: "Event",
    short: "l",
    value: "URL",
    help: "Link to attach",
    commands: ["event"],
    parse: values.httpUrl,
  }),
} as const;
