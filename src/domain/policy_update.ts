/** "Who is on call changes": a message that sets the user of one level of an escalation policy. Source: contract §3. */

import { mappedText, valueAt } from "./enrichment.ts";
import type { JsonObject } from "./event.ts";
import type { Explain } from "./explanation.ts";
import type { PolicyMapping } from "./mapping_config.ts";

export interface PolicyUpdate {
  /** Of the user who takes over. */
  email: string;
  /** What ilert finds the policy by. */
  routingKey: string;
  /** Index of the escalation rule, from 0. */
  level: number;
}

export type MappedPolicy = { kind: "policy"; update: PolicyUpdate } | { kind: "unusable"; reason: string };

/** Reads an update; what is ignored is named in `warnings`. */
export function mapPolicy(
  json: JsonObject,
  mapping: PolicyMapping,
  warnings: string[],
  explain?: Explain,
): MappedPolicy {
  const email = mappedText(json, mapping.emailPath, "email", warnings);
  if (email === undefined || email === "") {
    return { kind: "unusable", reason: `there is no e-mail address at '${mapping.emailPath}'` };
  }
  explain?.("email", `from '${mapping.emailPath}' (--map_key_email)`);
  const fields = mapping.routingKeyFields.map((field) => `'${field}'`).join(", ");
  const routingKey = routingKeyOf(json, mapping.routingKeyFields, warnings);
  if (routingKey === "") {
    const cause = fields === "" ? "--policy_routing_keys names no field" : `no text in ${fields}`;
    return { kind: "unusable", reason: `the routing key is empty: ${cause}` };
  }
  explain?.("routingKey", `the texts of ${fields} together (--policy_routing_keys)`);
  return { kind: "policy", update: { email, routingKey, level: levelOf(json, mapping, warnings, explain) } };
}

/** The fields' texts one after the other; top-level fields only, and what is missing adds nothing. */
function routingKeyOf(json: JsonObject, fields: readonly string[], warnings: string[]): string {
  let routingKey = "";
  for (const field of fields) {
    const value = Object.hasOwn(json, field) ? json[field] : null;
    if (typeof value === "string") routingKey += value;
    else if (value !== null) warnings.push(`routing key: the field '${field}' is not a string`);
  }
  return routingKey;
}

/** The shift plus the offset, at least 0; a shift that is missing or cannot be read counts as 0. */
function levelOf(
  json: JsonObject,
  { shiftPath, shiftOffset }: PolicyMapping,
  warnings: string[],
  explain?: Explain,
): number {
  const value = valueAt(json, shiftPath);
  const read = typeof value === "string" && /^[+-]?\d+$/.test(value) ? Number(value) : value;
  const shift = Number.isSafeInteger(read) ? read as number : 0;
  if (shift !== read && value !== undefined && value !== null) {
    warnings.push(`shift: the value at '${shiftPath}' is not a whole number`);
  }
  const origin = shift === read
    ? `${shift} from '${shiftPath}'`
    : `0, because there is none at '${shiftPath}'`;
  explain?.(
    "level",
    `the shift, ${origin} (--map_key_shift), plus ${shiftOffset} (--shift_offset), at least 0`,
  );
  return Math.max(0, shift + shiftOffset);
}
