/** The HTTP server and the heartbeat of the agent itself. */

import * as values from "../values.ts";
import { DAEMON, flag } from "./flag.ts";

export const serverFlags = {
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
    defaultNote: "25, for the edge connector 35",
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
} as const;
