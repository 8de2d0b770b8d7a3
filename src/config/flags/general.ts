/** Where the agent keeps its file, how it logs, and where its settings may come from. */

import * as values from "../values.ts";
import { ALL, flag } from "./flag.ts";

export const generalFlags = {
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
} as const;
