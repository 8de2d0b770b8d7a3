/** Help and the flag reference, both written from the definitions in `flags.ts`. */

import { type CommandName, type Flag, flagEntries, type FlagName, variablesOf } from "./flags.ts";

interface CommandHelp {
  about: string;
  /** The word that must follow; ids may follow it. */
  actions?: readonly string[];
  /** One example per mode. */
  examples: readonly string[];
}

const commands: Record<CommandName, CommandHelp> = {
  daemon: {
    about: "Run the agent: take events over HTTP, keep them safe, deliver them to ilert",
    examples: [
      "ilagent daemon -p 8977                         relay: HTTP in, ilert out",
      "ilagent daemon -p 8977 -b il1hbt123…           the same, and tell ilert that the agent is alive",
      "ilagent daemon --config /etc/ilagent.yaml      everything from a file",
    ],
  },
  event: {
    about: "Send one event to ilert; exits 1 when ilert did not accept it",
    examples: ["ilagent event -k il1api… -t ALERT -s 'Disk full on db-1' -i db-1-disk"],
  },
  heartbeat: {
    about: "Ping one ilert heartbeat; exits 1 when ilert did not accept it",
    examples: ["ilagent heartbeat -k il1hbt123…"],
  },
  permissions: {
    about: "Show what 'daemon' with the same flags may reach, and nothing else",
    examples: [
      "ilagent permissions -p 8977",
      "ilagent permissions -p 8977 --systemd          the same for the kernel to enforce, as a drop-in",
    ],
  },
  map: {
    about: "Show what event a message on stdin would become and why, without sending anything",
    examples: ["ilagent map --topic site/events --map_key_summary data.text < message.json"],
  },
  audit: {
    about:
      "Check that every accepted event is delivered, queued, dead or purged; exits 1 when it does not hold",
    examples: ["ilagent audit -f /var/lib/ilagent/ilagent.db3 --json"],
  },
  repair: {
    about:
      "Keep a corrupt file aside and save into a new one what can be read; exits 1 when something is missing",
    examples: ["ilagent repair -f /var/lib/ilagent/ilagent.db3"],
  },
  queue: {
    about: "Look at queued events, have waiting ones tried at once, or drop some; beside a running agent too",
    actions: ["list", "show", "retry", "drop"],
    examples: [
      "ilagent queue list --older_than 10m            what has been waiting for long",
      "ilagent queue drop 01a1fe2b-…                  drop one; it counts as purged",
    ],
  },
  deadletter: {
    about: "Look at events that ilert refused, queue them again, or purge them; beside a running agent too",
    actions: ["list", "show", "retry", "purge"],
    examples: [
      "ilagent deadletter list --status 404           refused because of a wrong key",
      "ilagent deadletter retry --all                 queue all of them again",
    ],
  },
};

/** Null for a command that takes no words. */
export function actionsOf(command: CommandName): readonly string[] | null {
  return commands[command].actions ?? null;
}

export const commandNames = Object.keys(commands) as CommandName[];

export function helpOf(command: CommandName | null, version: string): string {
  if (command !== null) return commandHelp(command);
  const names = commandNames.map((name) => `  ${name.padEnd(13)}${commands[name].about}`);
  const examples = commandNames.flatMap((name) => commands[name].examples.map((example) => `  ${example}`));
  return [
    `ilagent ${version}: bridges your machines to ilert.`,
    "",
    "Usage: ilagent [-v…] [-f FILE] <command> [flags]",
    "",
    "Commands:",
    ...names,
    "",
    "Examples:",
    ...examples,
    "",
    "'ilagent <command> --help' lists the flags; 'ilagent --version' prints the version.",
    "",
  ].join("\n");
}

/** `docs/reference.md`, whole. */
export function reference(): string {
  const lines = [
    "# Reference",
    "",
    "Written from the flag definitions by `deno task reference`; do not edit by hand.",
    "",
    "A value comes from the flag, else the environment variable, else the file named by `--config`, else the default.",
    "Flags may be written with hyphens (`--log-format`). Keys of the file are the flags' names. For a flag marked *secret* each variable",
    "also exists with `_FILE`, naming a file that holds the value. Lists are comma-separated in variables and lists in the file.",
  ];
  for (const command of commandNames) {
    lines.push("", `## ilagent ${command}`, "", `${commands[command].about}.`, "", "```sh");
    lines.push(...commands[command].examples.map((example) => example.replace(/ {2,}/, " # ")), "```", "");
    lines.push("| flag | meaning | default | environment |", "| --- | --- | --- | --- |");
    for (const [name, flag] of flagEntries) {
      if (!flag.commands.includes(command)) continue;
      const secret = flag.secret ? " *(secret)*" : "";
      const shown = flag.withoutFlag ? "(no flag)" : `\`${spelling(name, flag).trim()}\``;
      const variables = variablesOf(name).map((variable) => `\`${variable}\``).join(", ");
      const row = [shown, flag.help + secret, defaultOf(flag, command) ?? "", variables];
      lines.push(`| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
    }
  }
  return lines.join("\n") + "\n";
}

function commandHelp(command: CommandName): string {
  const own = flagEntries.filter(([, flag]) => flag.commands.includes(command));
  const width = Math.max(...own.map(([name, flag]) => spelling(name, flag).length)) + 2;
  const groups = new Map<string, string[]>();
  for (const [name, flag] of own) {
    const lines = groups.get(flag.group) ?? [];
    groups.set(flag.group, lines);
    const fallback = defaultOf(flag, command);
    const notes = [fallback, variablesOf(name).join(", ")].filter((note) =>
      note !== undefined && note !== ""
    );
    lines.push(`  ${spelling(name, flag).padEnd(width)}${flag.help}`);
    if (notes.length > 0) lines.push(`  ${" ".repeat(width)}[${notes.join("; ")}]`);
  }
  return [
    `Usage: ilagent ${command} ${usageOf(command)}[flags]`,
    "",
    `${commands[command].about}.`,
    ...[...groups].flatMap(([group, lines]) => ["", `${group}:`, ...lines]),
    "",
    "Examples:",
    ...commands[command].examples.map((example) => `  ${example}`),
    "",
    "In brackets: default; environment variables. Variables of secrets also exist with _FILE, naming a file.",
    "",
  ].join("\n");
}

function usageOf(command: CommandName): string {
  const actions = actionsOf(command);
  return actions === null ? "" : `${actions.join("|")} [id…] `;
}

function spelling(name: FlagName, flag: Flag): string {
  if (flag.withoutFlag) return `    (${name}, no flag)`;
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  return `${short}--${name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
}

function defaultOf(flag: Flag, command: CommandName): string | undefined {
  if (flag.required?.includes(command)) return "required";
  return flag.default ?? flag.defaultNote;
}
