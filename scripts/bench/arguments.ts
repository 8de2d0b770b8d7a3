/** The command line of `deno task bench`. */

import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface BenchArguments {
  names: string[];
  json: boolean;
  /** Program and first arguments; null for the built agent. */
  agent: readonly string[] | null;
  /** Length of one timed phase. */
  seconds: number;
  /** Multiplies numbers of events and lengths of outages. */
  scale: number;
}

const SECONDS_DEFAULT = 5, SECONDS_MAX = 600;
const SCALE_MIN = 0.001, SCALE_MAX = 100;

export const USAGE = `Usage: deno task bench [names…] [--json] [--agent "CMD"] [--seconds N] [--scale F]

  --json         one JSON object instead of lines
  --agent "CMD"  measure this agent, started as CMD daemon -p PORT -f FILE (default dist/ilagent)
  --seconds N    length of one timed phase (default ${SECONDS_DEFAULT})
  --scale F      multiplies numbers of events and lengths of outages (default 1)`;

/** The arguments, or what is wrong with them. */
export function parseArguments(args: string[], known: readonly string[]): BenchArguments | string {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        agent: { type: "string" },
        seconds: { type: "string", default: `${SECONDS_DEFAULT}` },
        scale: { type: "string", default: "1" },
      },
    });
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split(/\.\s|\n/, 1)[0] ?? "";
  }
  const { values: { json, agent, seconds, scale }, positionals: names } = parsed;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) return `Unknown bench "${unknown}": there are ${known.join(", ")}`;
  const secondsProblem = problemOf("--seconds", seconds, 1, SECONDS_MAX);
  const scaleProblem = problemOf("--scale", scale, SCALE_MIN, SCALE_MAX);
  const command = agent === undefined ? null : commandOf(agent);
  if (command?.length === 0) return "--agent needs a command, such as --agent ./ilagent";
  return secondsProblem ?? scaleProblem ??
    { names, json, agent: command, seconds: Number(seconds), scale: Number(scale) };
}

function problemOf(flag: string, text: string, min: number, max: number): string | null {
  const isRight = /^\d+(\.\d+)?$/.test(text) && Number(text) >= min && Number(text) <= max;
  return isRight ? null : `${flag} must be a number from ${min} to ${max}, not "${text}"`;
}

/** A path is meant from here, not from the folder that the agent will run in. */
function commandOf(text: string): string[] {
  const [program, ...args] = text.match(/\S+/g) ?? [];
  if (program === undefined) return [];
  return [/[/\\]/.test(program) ? resolve(program) : program, ...args];
}
