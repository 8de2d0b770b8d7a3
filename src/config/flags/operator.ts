/** Which rows an operator means, and in which form they are printed. */

import * as values from "../values.ts";
import { flag, OPERATOR } from "./flag.ts";

export const operatorFlags = {
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
    commands: ["audit", "permissions", "map", ...OPERATOR, "repair"],
    parse: values.switched,
  }),
  systemd: flag({
    group: "Output",
    help: "Print a drop-in for the agent's systemd service",
    commands: ["permissions"],
    parse: values.switched,
    onlyFlag: true,
  }),
} as const;
