/** argv → command and flags as text. Collects every problem instead of stopping at the first. */

import { parseArgs } from "node:util";
import { type CommandName, type Flag, flagEntries, type FlagName, flags } from "./flags.ts";
import { nearest, type Source } from "./given.ts";
import { actionsOf, commandNames } from "./help.ts";

export interface CommandLine extends Source {
  command: CommandName | null;
  /** What follows a command that takes words: an action and ids. */
  operands: string[];
  wantsHelp: boolean;
  wantsVersion: boolean;
}

/** Both spellings of every flag, `--log_format` and `--log-format`, lead to its name. */
const spellings = new Map<string, FlagName>(
  flagEntries.filter(([, flag]) => !flag.withoutFlag)
    .flatMap(([name]) => [[name, name], [name.replaceAll("_", "-"), name]] as const),
);

export function parseCommandLine(args: readonly string[]): CommandLine {
  const { tokens } = parseArgs({
    args: [...args],
    options: parserOptions(),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const line: CommandLine = {
    command: null,
    operands: [],
    wantsHelp: false,
    wantsVersion: false,
    given: new Map(),
    problems: [],
  };
  const commandToken = tokens.find((token) => token.kind === "positional");
  if (commandToken !== undefined) {
    if (isCommand(commandToken.value)) line.command = commandToken.value;
    else line.problems.push(unknownCommand(commandToken.value));
  }
  let afterUnknown = false;
  for (const token of tokens) {
    if (token.kind === "positional") {
      if (token !== commandToken && line.command !== null && actionsOf(line.command) !== null) {
        line.operands.push(token.value);
      } else if (token !== commandToken && !afterUnknown) {
        line.problems.push(
          `unexpected argument '${token.value}': values follow their flag, as in --flag value`,
        );
      }
      afterUnknown = false;
    } else if (token.kind === "option") {
      afterUnknown = !take(line, token.name, token.rawName, token.value);
    }
  }
  if (line.command !== null && !line.wantsHelp) {
    line.problems.push(...actionProblems(line.command, line.operands));
  }
  return line;
}

function actionProblems(command: CommandName, [action, ...ids]: string[]): string[] {
  const actions = actionsOf(command);
  if (actions === null) return [];
  const right = `use ${command} ${actions.join("|")}`;
  if (action === undefined) return [`${command}: needs to know what to do: ${right}`];
  if (!actions.includes(action)) return [`${command}: cannot '${action}': ${right}`];
  if (action === "list" && ids.length > 0) {
    return [`${command} list: takes filters, not ids; use show for one`];
  }
  if (action === "show" && ids.length === 0) {
    return [`${command} show: needs the id of at least one, as list shows it`];
  }
  return [];
}

/** False where the flag is unknown, so that what follows is taken for its value and not reported again. */
function take(line: CommandLine, spelling: string, written: string, value: string | undefined): boolean {
  if (spelling === "help") {
    line.wantsHelp = true;
    return true;
  }
  if (spelling === "version") {
    line.wantsVersion = true;
    return true;
  }
  const name = spellings.get(spelling);
  if (name === undefined) {
    line.problems.push(unknownFlag(written, spelling));
    return false;
  }
  const flag: Flag = flags[name];
  const given = line.given.get(name) ?? { origin: `--${name}`, texts: [] };
  if (line.command !== null && !flag.commands.includes(line.command)) {
    line.problems.push(`--${name}: is not a flag of '${line.command}', but of ${flag.commands.join(", ")}`);
  } else if (flag.value !== undefined && value === undefined) {
    line.problems.push(`--${name}: needs a value, as in --${name} ${flag.value}`);
  } else if (given.texts.length > 0 && !flag.repeatable && !flag.counted) {
    line.problems.push(`--${name}: is given more than once; give it once`);
  } else if (flag.counted) {
    line.given.set(name, { ...given, texts: [String(Number(given.texts[0] ?? 0) + 1)] });
  } else {
    line.given.set(name, { ...given, texts: [...given.texts, value ?? "true"] });
  }
  return true;
}

function parserOptions() {
  const options: { [spelling: string]: { type: "string" | "boolean"; short?: string; multiple: true } } = {
    help: { type: "boolean", short: "h", multiple: true },
    version: { type: "boolean", short: "V", multiple: true },
  };
  for (const [spelling, name] of spellings) {
    const flag: Flag = flags[name];
    const short = flag.short !== undefined && spelling === name ? { short: flag.short } : {};
    options[spelling] = { type: flag.value === undefined ? "boolean" : "string", multiple: true, ...short };
  }
  return options;
}

function isCommand(word: string): word is CommandName {
  return (commandNames as readonly string[]).includes(word);
}

function unknownCommand(word: string): string {
  const meant = nearest(word, commandNames);
  const hint = meant === undefined ? `use one of ${commandNames.join(", ")}` : `did you mean '${meant}'?`;
  return `unknown command '${word}': ${hint}`;
}

function unknownFlag(written: string, spelling: string): string {
  const meant = nearest(
    spelling,
    [...spellings.keys()].filter((known) => known.includes("-") === spelling.includes("-")),
  );
  return `unknown flag ${written}: ${
    meant === undefined ? "see ilagent --help" : `did you mean --${meant}?`
  }`;
}
