/**
 * Every setting of ilagent, once: from here come parsing, validation of single values, help, environment variables,
 * configuration-file keys and `docs/reference.md`.
 */

import { consumerFlags } from "./flags/consumers.ts";
import { deliveryFlags } from "./flags/delivery.ts";
import { edgeFlags } from "./flags/edge.ts";
import { enrichmentFlags } from "./flags/enrichment.ts";
import { eventFlags } from "./flags/event.ts";
import type { Flag } from "./flags/flag.ts";
import { generalFlags } from "./flags/general.ts";
import { ilertFlags } from "./flags/ilert.ts";
import { kafkaFlags } from "./flags/kafka.ts";
import { mqttFlags } from "./flags/mqtt.ts";
import { operatorFlags } from "./flags/operator.ts";
import { serverFlags } from "./flags/server.ts";

export type { CommandName, Flag } from "./flags/flag.ts";

/** In the order of help. */
export const flags = {
  ...generalFlags,
  ...serverFlags,
  ...mqttFlags,
  ...kafkaFlags,
  ...consumerFlags,
  ...edgeFlags,
  ...deliveryFlags,
  ...enrichmentFlags,
  ...eventFlags,
  ...operatorFlags,
  ...ilertFlags,
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
