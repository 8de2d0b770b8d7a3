/** Flags, environment, file and defaults → typed settings, or every problem at once. */

import { parseCommandLine } from "./command_line.ts";
import { readConfigFile } from "./file.ts";
import { readEnvironment, type Surroundings } from "./environment.ts";
import {
  type CommandName,
  type Flag,
  flagEntries,
  type FlagName,
  type FlagValues,
  variablesOf,
} from "./flags.ts";
import type { Given } from "./given.ts";
import { BadValue } from "./values.ts";

export type Settings =
  | {
    kind: "run";
    command: CommandName;
    values: FlagValues;
    operands: string[];
    secretsInFlags: string[];
    /** Where each value that is not a default was given, as a message names the place. */
    origins: Origins;
  }
  | { kind: "help"; command: CommandName | null }
  | { kind: "version" }
  | { kind: "no_command" }
  | { kind: "invalid"; problems: string[] };

export type Origins = ReadonlyMap<FlagName, string>;

/** Never throws for bad input: problems are lines that name the place, what is wrong and what would be right. */
export async function readSettings(args: readonly string[], surroundings: Surroundings): Promise<Settings> {
  const line = parseCommandLine(args);
  if (line.wantsHelp) return { kind: "help", command: line.command };
  if (line.wantsVersion) return { kind: "version" };
  if (line.command === null) {
    return line.problems.length > 0 ? { kind: "invalid", problems: line.problems } : { kind: "no_command" };
  }

  const environment = readEnvironment(surroundings);
  const path = (line.given.get("config") ?? environment.given.get("config"))?.texts[0];
  const sources = [line, environment];
  if (path !== undefined) sources.push(await readConfigFile(path, surroundings));
  const known = sources.flatMap((source) => source.problems);
  const problems = [...known];

  const values: Partial<Record<FlagName, unknown>> = {};
  const origins = new Map<FlagName, string>();
  for (const [name, flag] of flagEntries) {
    if (!flag.commands.includes(line.command)) continue;
    const found = sources.map((source) => source.given.get(name)).find((one) => one !== undefined);
    if (found === undefined && flag.required?.includes(line.command)) {
      problems.push(missing(name, flag, known));
    }
    if (found !== undefined) origins.set(name, found.origin);
    values[name] = valueOf(flag, found ?? defaultOf(name, flag), problems);
  }
  if (problems.length > 0) return { kind: "invalid", problems: problems.filter((problem) => problem !== "") };
  const secretsInFlags = flagEntries.filter(([name, flag]) => flag.secret && line.given.has(name))
    .map(([name]) => `--${name}`);
  return {
    kind: "run",
    command: line.command,
    values: values as FlagValues,
    operands: line.operands,
    secretsInFlags,
    origins,
  };
}

function valueOf(flag: Flag, given: Given | undefined, problems: string[]): unknown {
  if (given === undefined) return flag.repeatable ? [] : undefined;
  const parsed = given.texts.map((text) => {
    try {
      return flag.parse(text);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const shown = flag.secret ? "" : `, not '${text}'`;
      problems.push(`${given.origin}: ${error.message}${shown}`);
    }
  });
  return flag.repeatable ? parsed : parsed[0];
}

function defaultOf(name: FlagName, flag: Flag): Given | undefined {
  return flag.default === undefined ? undefined : { origin: `default of --${name}`, texts: [flag.default] };
}

/** Empty where a source already has a problem with that very flag. */
function missing(name: FlagName, flag: Flag, known: string[]): string {
  const variables = variablesOf(name);
  const origins = [`--${name}:`, ...variables.map((variable) => `${variable}_FILE:`), `${name} in `];
  if (known.some((problem) => origins.some((origin) => problem.startsWith(origin)))) return "";
  const orSet = variables.length === 0 ? "" : ` or set ${variables.join(" or ")}`;
  return `--${name}: is required (${flag.help}); give the flag${orSet}`;
}
