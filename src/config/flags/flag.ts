/** What a flag is, and the sets of commands that share flags. */

export type CommandName =
  | "daemon"
  | "event"
  | "heartbeat"
  | "permissions"
  | "map"
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

export const DAEMON = ["daemon", "permissions"] as const;
export const SENDERS = ["daemon", "permissions", "event", "heartbeat"] as const;
export const ENRICHED = ["daemon", "permissions", "event", "map"] as const;
export const MAPPED = ["daemon", "permissions", "map"] as const;
export const OPERATOR = ["queue", "deadletter"] as const;
export const ALL = [...SENDERS, "map", "audit", ...OPERATOR, "repair"] as const;

export function flag<const F extends Flag>(definition: F): F {
  return definition;
}
