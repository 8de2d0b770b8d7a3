/** How events are kept and delivered to ilert. */

import * as values from "../values.ts";
import { DAEMON, flag } from "./flag.ts";

export const deliveryFlags = {
  alarm_key: flag({
    group: "Delivery",
    value: "KEY",
    help:
      "Raise an alert through this integration key for dead letters, a failing disk or a nearly full queue",
    commands: DAEMON,
    parse: values.key,
    secret: true,
  }),
  max_retries: flag({
    group: "Delivery",
    value: "N",
    help: "Retries of a failing event before it becomes a dead letter; 0 retries for ever",
    commands: DAEMON,
    parse: values.integer(0),
    default: "100",
  }),
  delivery_concurrency: flag({
    group: "Delivery",
    value: "N",
    help: "Deliveries in flight at the same time",
    commands: DAEMON,
    parse: values.integer(1, 1024),
    default: "64",
  }),
  queue_max_events: flag({
    group: "Queue",
    value: "N",
    help: "Events queued at most; beyond it the intake answers 503, nothing is evicted",
    commands: DAEMON,
    parse: values.integer(1),
    default: "2000000",
  }),
  queue_max_bytes: flag({
    group: "Queue",
    value: "SIZE",
    help: "Size of the queue's file in use at most, such as 500M or 2G; beyond it the intake answers 503",
    commands: DAEMON,
    parse: values.bytes,
    default: "4G",
  }),
  dead_letter_max: flag({
    group: "Queue",
    value: "N",
    help: "Dead letters at most; beyond it the intake answers 503 until some are retried or purged",
    commands: DAEMON,
    parse: values.integer(1),
    default: "100000",
  }),
} as const;
