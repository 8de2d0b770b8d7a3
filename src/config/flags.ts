/**
 * Every setting of ilagent, once: from here come parsing, validation of single values, help, environment variables,
 * configuration-file keys and `docs/reference.md`.
 */

import * as values from "./values.ts";

export type CommandName =
  | "daemon"
  | "event"
  | "heartbeat"
  | "permissions"
  | "audit"
  | "queue"
  | "deadletter"
  | "repair";

export interface Flag<T = unknown> {
  group: string;
  help: string;
  commands: readonly CommandName[];
  parse: (text: string) => T;
  /** One letter. */
  short?: string;
  /** What the value is called in help; a flag without one is a switch. */
  value?: string;
  /** May be given several times; the values are collected in a list. */
  repeatable?: true;
  /** A switch whose value is how often it was given. */
  counted?: true;
  /** As the user would write it; parsed like any other value. */
  default?: string;
  /** In help where the default is not a value but a rule. */
  defaultNote?: string;
  /** Variables read beside `ILAGENT_<NAME>`, in this order after it. */
  variables?: readonly string[];
  /** Never shown in full; its variables also exist with `_FILE`. */
  secret?: true;
  /** Only from the environment or the configuration file: a host or a secret that has no flag. */
  withoutFlag?: true;
  required?: readonly CommandName[];
  /** Neither from the environment nor from the file: what an operator asks for once. */
  onlyFlag?: true;
}

const DAEMON = ["daemon", "permissions"] as const;
const SENDERS = ["daemon", "permissions", "event", "heartbeat"] as const;
const ENRICHED = ["daemon", "permissions", "event"] as const;
const OPERATOR = ["queue", "deadletter"] as const;
const ALL = [...SENDERS, "audit", ...OPERATOR, "repair"] as const;

export const flags = {
  verbose: flag({
    group: "General",
    short: "v",
    help: "More log output: -v -v info, -v -v -v debug, four times trace",
    commands: ALL,
    parse: values.integer(0, 9),
    default: "0",
    counted: true,
  }),
  file: flag({
    group: "General",
    short: "f",
    value: "FILE",
    help: "SQLite file of the queue",
    commands: ALL,
    parse: values.text,
    default: "./ilagent.db3",
  }),
  config: flag({
    group: "General",
    value: "FILE",
    help: "YAML file with any of these settings, by the same names",
    commands: ALL,
    parse: values.text,
  }),
  log_format: flag({
    group: "General",
    value: "text|json",
    help: "Log lines for people or, one JSON object a line, for machines",
    commands: ALL,
    parse: values.oneOf("text", "json"),
    default: "text",
  }),

  port: flag({
    group: "HTTP server",
    short: "p",
    value: "PORT",
    help: "Run the HTTP server (event intake, heartbeats, health) on this port, usually 8977",
    commands: DAEMON,
    parse: values.port,
    defaultNote: "no server",
  }),
  host: flag({
    group: "HTTP server",
    value: "ADDRESS",
    help: "Address the HTTP server listens on",
    commands: DAEMON,
    parse: values.listenHost,
    default: "0.0.0.0",
  }),
  intake_token: flag({
    group: "HTTP server",
    value: "TOKEN",
    help: "Require 'Authorization: Bearer TOKEN' on the /api paths",
    commands: DAEMON,
    parse: values.secret,
    secret: true,
  }),
  shutdown_timeout: flag({
    group: "HTTP server",
    value: "SECONDS",
    help: "Time for requests and deliveries in hand after SIGTERM or SIGINT",
    commands: DAEMON,
    parse: values.seconds(0, 3600),
    default: "25",
  }),

  heartbeat: flag({
    group: "Heartbeat",
    short: "b",
    value: "KEY",
    help: "Ping this ilert heartbeat at once and then every 30 s",
    commands: DAEMON,
    parse: values.key,
    secret: true,
  }),

  heartbeat_requires_ready: flag({
    group: "Heartbeat",
    help: "No heartbeat while the agent is not ready, ilert takes no events, or the disk fails",
    commands: DAEMON,
    parse: values.switched,
  }),
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

  key: flag({
    group: "Selection",
    value: "KEY",
    help: "Only those of this integration key",
    commands: OPERATOR,
    parse: values.text,
    onlyFlag: true,
  }),
  older_than: flag({
    group: "Selection",
    value: "SPAN",
    help: "Only those accepted longer ago than this, such as 90s, 15m, 2h or 7d",
    commands: OPERATOR,
    parse: values.span,
    onlyFlag: true,
  }),
  status: flag({
    group: "Selection",
    value: "CODE",
    help: "Only those that ilert answered with this status",
    commands: ["deadletter"],
    parse: values.integer(100, 599),
    onlyFlag: true,
  }),
  all: flag({
    group: "Selection",
    help: "All of them; retry, purge and drop need this, a filter, or ids",
    commands: OPERATOR,
    parse: values.switched,
    onlyFlag: true,
  }),
  limit: flag({
    group: "Selection",
    value: "N",
    help: "How many to list",
    commands: OPERATOR,
    parse: values.integer(1),
    default: "50",
    onlyFlag: true,
  }),

  json: flag({
    group: "Output",
    help: "Print JSON",
    commands: ["audit", "permissions", ...OPERATOR, "repair"],
    parse: values.switched,
  }),

  api_host: flag({
    group: "ilert",
    value: "URL",
    help: "ilert's API",
    commands: SENDERS,
    parse: values.httpHost,
    default: "https://api.ilert.com",
    variables: ["ILERT_API_HOST"],
    withoutFlag: true,
  }),
  heartbeat_host: flag({
    group: "ilert",
    value: "URL",
    help: "ilert's heartbeat host, for keys that do not start with il1hbt",
    commands: SENDERS,
    parse: values.httpHost,
    default: "https://beat.ilert.com",
    variables: ["ILERT_HEARTBEAT_HOST"],
    withoutFlag: true,
  }),
} as const;

export type FlagName = keyof typeof flags;

/** The typed value of every flag; undefined where nothing gave one. */
export type FlagValues = {
  [Name in FlagName]: typeof flags[Name] extends { repeatable: true }
    ? ReturnType<typeof flags[Name]["parse"]>[]
    : typeof flags[Name] extends { default: string } ? ReturnType<typeof flags[Name]["parse"]>
    : ReturnType<typeof flags[Name]["parse"]> | undefined;
};

/** All flags as plain definitions, in the order of help. */
export const flagEntries = Object.entries(flags) as [FlagName, Flag][];

export function variableOf(name: FlagName): string {
  return `ILAGENT_${name.toUpperCase()}`;
}

/** Every variable that may set this flag, the strongest first, without the `_FILE` forms. */
export function variablesOf(name: FlagName): string[] {
  const flag: Flag = flags[name];
  return flag.onlyFlag ? [] : [variableOf(name), ...flag.variables ?? []];
}

function flag<const F extends Flag>(definition: F): F {
  return definition;
}
