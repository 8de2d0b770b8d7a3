/**
 * `deno task faults`: what becomes of acknowledged events when something breaks. Any agent with the same flags can be
 * tried. Exit codes: 0 when all that was checked held, 1 when something did not, 2 for a wrong argument.
 */

import { parseArgs } from "node:util";
import { resolve } from "node:path";
import type { AgentCommand } from "../tests/support/agent_process.ts";
import { tryApi } from "./faults/api.ts";
import { tryClock } from "./faults/clock.ts";
import { tryConsumers } from "./faults/consumers.ts";
import { tryDescriptors } from "./faults/descriptors.ts";
import { tryDisk } from "./faults/disk.ts";
import { tryEdge } from "./faults/edge.ts";
import { Findings, lineOf } from "./faults/findings.ts";
import { tryFuzz } from "./faults/fuzz.ts";
import { tryKill } from "./faults/kill.ts";
import type { Circumstances, Scenario } from "./faults/scenario.ts";
import { buildWhereMissing, connectDirectly } from "./preparation.ts";

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  kill: tryKill,
  disk: tryDisk,
  api: tryApi,
  clock: tryClock,
  descriptors: tryDescriptors,
  fuzz: tryFuzz,
  edge: tryEdge,
  consumers: tryConsumers,
};
const USAGE = `deno task faults [${Object.keys(SCENARIOS).join("|")} …] ` +
  `[--cycles N] [--seed S] [--json] [--agent "CMD"]`;

interface Run {
  scenarios: [string, Scenario][];
  circumstances: Circumstances;
  isJson: boolean;
}

class WrongArgument extends Error {}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let run: Run;
  try {
    run = readArguments(args);
  } catch (error) {
    if (!(error instanceof WrongArgument)) throw error;
    console.error(`faults: ${error.message}; ${USAGE}`);
    return 2;
  }
  const { circumstances, isJson } = run;
  try {
    if (circumstances.command === "built") {
      await buildWhereMissing((text) => isJson || console.log(`# ${text}`));
    }
  } catch (error) {
    console.error(`faults: cannot prepare: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
  connectDirectly();
  const findings = new Findings((finding) => isJson || console.log(lineOf(finding)));
  for (const [name, scenario] of run.scenarios) {
    const startedAt = performance.now();
    try {
      await scenario(circumstances, findings);
    } catch (error) {
      findings.check(
        name,
        "the scenario runs to its end",
        error instanceof Error ? error.message : `${error}`,
      );
    }
    findings.value(`${name}.duration`, (performance.now() - startedAt) / 1000, "s");
  }
  const { failures } = findings;
  if (isJson) console.log(JSON.stringify({ seed: circumstances.seed, findings: findings.all }, null, 2));
  else if (failures.length > 0) {
    console.log(`\n${failures.length} FAILED; the same again: --seed ${circumstances.seed}`);
  }
  return failures.length === 0 ? 0 : 1;
}

function readArguments(args: string[]): Run {
  const { values, positionals } = parsed(args);
  const names = positionals.length === 0 ? Object.keys(SCENARIOS) : positionals;
  const scenarios = names.map((name): [string, Scenario] => {
    const scenario = Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
    if (scenario === undefined) throw new WrongArgument(`there is no scenario '${name}'`);
    return [name, scenario];
  });
  return {
    scenarios,
    circumstances: {
      command: commandOf(values.agent),
      seed: wholeNumber("--seed", values.seed, 0, 0x7fffffff) ?? Math.floor(Math.random() * 0x7fffffff),
      cycles: wholeNumber("--cycles", values.cycles, 1, 1_000_000),
      isLong: true,
    },
    isJson: values.json ?? false,
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        cycles: { type: "string" },
        seed: { type: "string" },
        json: { type: "boolean" },
        agent: { type: "string" },
      },
    });
  } catch (error) {
    throw new WrongArgument(error instanceof Error ? error.message.split(". ", 1)[0] ?? "" : String(error));
  }
}

function wholeNumber(flag: string, text: string | undefined, min: number, max: number): number | null {
  if (text === undefined) return null;
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= min && number <= max) return number;
  throw new WrongArgument(`${flag} must be a whole number from ${min} to ${max}, not '${text}'`);
}

function commandOf(text: string | undefined): AgentCommand {
  if (text === undefined) return "built";
  const [program, ...args] = text.match(/\S+/g) ?? [];
  if (program === undefined) throw new WrongArgument("--agent must name a program");
  // A path is meant from here, not from the folder that the agent will run in.
  return [program.includes("/") ? resolve(program) : program, ...args];
}
