/** Where ilert is, and what the agent shows it. */

import * as values from "../values.ts";
import { DAEMON, flag, SENDERS } from "./flag.ts";

export const ilertFlags = {
  api_key: flag({
    group: "ilert",
    value: "KEY",
    help: "API key of ilert, for updates of escalation policies",
    commands: DAEMON,
    parse: values.apiKey,
    variables: ["ILERT_API_KEY"],
    secret: true,
    withoutFlag: true,
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
