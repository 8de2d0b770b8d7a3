/** argv → exit code: reads the settings, then starts the command, jailed wherever it reaches network or files. */

import { resolve } from "node:path";
import { type AlertEvent, minimalEvent } from "../domain/event.ts";
import { enrich } from "../domain/enrichment.ts";
import { mappingConfig, policyMapping } from "../config/consumers.ts";
import { daemonConfig, logConfig } from "../config/daemon.ts";
import type { NamedFiles } from "../config/brokers.ts";
import { enrichmentOf } from "../config/enrichment.ts";
import type { Surroundings } from "../config/environment.ts";
import type { FlagValues } from "../config/flags.ts";
import { helpOf } from "../config/help.ts";
import { readSettings, type Settings } from "../config/settings.ts";
import type { Job } from "../jail/messages.ts";
import {
  auditPermissions,
  eventPermissions,
  heartbeatPermissions,
  lackingFlags,
  NO_PERMISSIONS,
  operatorPermissions,
  type Permissions,
  repairPermissions,
} from "../jail/permissions.ts";
import type { Selection } from "../queue/operator.ts";
import { type JobEnd, runJailed } from "../jail/supervisor.ts";
import { failureOf } from "../runtime/failure.ts";
import { printLine, reportLastJson, reportLastLines, reportLine } from "../runtime/print.ts";
import { VERSION } from "../runtime/version.ts";
import { daemonJob, daemonPermissions, runDaemon, workersBeside } from "./daemon.ts";
import { MESSAGE_BYTES_MAX, readMessage } from "./message_input.ts";
import { proxiesInUse, showPermissions } from "./permissions.ts";
import { systemdDropIn } from "./systemd_drop_in.ts";

const EXIT_USAGE = 2;

const surroundings: Surroundings = {
  variable: (name) => Deno.env.get(name),
  readFile: (path) => Deno.readTextFileSync(path),
};

const namedFiles: NamedFiles = {
  readFile: (path) => Deno.readTextFileSync(path),
  isExecutable(path) {
    const { isFile, mode } = Deno.statSync(path);
    // Windows has no such bits.
    return isFile && (mode === null || (mode & 0o111) !== 0);
  },
};

/** Answers with the exit code: 0 success, 1 runtime failure, 2 usage or configuration. Never throws. */
export async function runOrReport(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    await reportLastLines([`unexpected: ${failureOf(error)}`]);
    return 1;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const settings = await readSettings(args, surroundings);
  switch (settings.kind) {
    case "version":
      printLine(`ilagent ${VERSION}`);
      return 0;
    case "help":
      printLine(helpOf(settings.command, VERSION).trimEnd());
      return 0;
    case "no_command":
      reportHelp();
      return EXIT_USAGE;
    case "invalid":
      return await refuse(settings.problems);
    case "run":
      return await runCommand(settings);
  }
}

async function runCommand(
  { command, operands, values, secretsInFlags, origins }: Settings & { kind: "run" },
): Promise<number> {
  switch (command) {
    case "permissions": {
      const daemon = daemonConfig({ ...values, file: realPath(values.file) }, origins, namedFiles);
      if (daemon.kind === "invalid") return await refuse(daemon.problems);
      const permissions = daemonPermissions(daemon);
      if (values.systemd === true) printLine(systemdDropIn(permissions, daemon.config, proxiesInUse()));
      else showPermissions(permissions, workersBeside(daemon), values.json ?? false);
      return 0;
    }
    case "daemon": {
      const daemon = daemonConfig({ ...values, file: realPath(values.file) }, origins, namedFiles);
      if (daemon.kind === "invalid") return await refuse(daemon.problems);
      const lacking = lackingFlags(daemonPermissions(daemon));
      if (lacking.length > 0) return await refuse([rightsMissing(lacking)]);
      const warnings = [...daemon.warnings, ...secretsInFlags.map(secretInFlag)];
      const job = daemonJob(daemon, logConfig(values), warnings);
      return await report(job, await runDaemon(daemon, job));
    }
    case "map":
      return await mapInput(values);
    case "event":
      return await runInJail(eventJob(values), eventPermissions(hostsOf(values)));
    case "heartbeat": {
      const job = { kind: "heartbeat" as const, key: integrationKeyOf(values), ...hostsOf(values) };
      return await runInJail(job, heartbeatPermissions(job, job.key));
    }
    case "queue":
    case "deadletter": {
      const [action = "", ...ids] = operands;
      const selection = selectionOf(ids, values);
      const isReading = action === "list" || action === "show";
      if (!isReading && isEmpty(selection) && values.all !== true) {
        return await refuse([
          `${command} ${action}: needs ids, a filter such as --key or --older_than, or --all`,
        ]);
      }
      const file = realPath(values.file);
      const { limit, json = false } = values;
      const job: Job = { kind: "operator", file, shelf: command, action, selection, limit, json };
      return await runInJail(job, operatorPermissions(file, isReading));
    }
    case "repair": {
      const file = realPath(values.file);
      const aside = `${file}.corrupt-${new Date().toISOString().replace(/[:.]/g, "-")}`;
      const job: Job = { kind: "repair", file, aside, json: values.json ?? false };
      return await runInJail(job, repairPermissions(file, aside));
    }
    case "audit": {
      const file = realPath(values.file);
      return await runInJail({ kind: "audit", file, json: values.json ?? false }, auditPermissions(file));
    }
  }
}

async function mapInput(values: FlagValues): Promise<number> {
  if (Deno.stdin.isTerminal()) reportLine("reading the message from the terminal, up to Ctrl-D");
  const payload = await readMessage(Deno.stdin);
  if (payload === null) {
    await reportLastLines([`the message on stdin is larger than ${MESSAGE_BYTES_MAX} bytes`]);
    return 1;
  }
  const { topic = "", message_key: key = null, broker, json = false } = values;
  const mapping = mappingConfig(values);
  const { event, heartbeat, policy } = mapping.topics;
  // Who asks about one message only need not say what the daemon must be told.
  if (event === null && heartbeat === null && policy === null) {
    mapping.topics = { ...mapping.topics, event: topic };
  }
  const job: Job = {
    kind: "map",
    message: { topic, key, payload },
    mapping: { broker, mapping, policy: policy === null ? null : policyMapping(values) },
    json,
  };
  return await runInJail(job, NO_PERMISSIONS);
}

function secretInFlag(flag: string): string {
  return `${flag} on the command line can be read by every user of this machine; use its variable or a file`;
}

function selectionOf(ids: string[], values: FlagValues): Selection {
  const { older_than: olderThanMs } = values;
  return {
    ids,
    key: values.key ?? null,
    acceptedBefore: olderThanMs === undefined ? null : new Date(Date.now() - olderThanMs).toISOString(),
    status: values.status ?? null,
  };
}

function isEmpty({ ids, key, acceptedBefore, status }: Selection): boolean {
  return ids.length === 0 && key === null && acceptedBefore === null && status === null;
}

/** Absolute, and through symbolic links, so that two agents on one file see each other's lock whatever name they use. */
function realPath(file: string): string {
  try {
    return Deno.realPathSync(file);
  } catch {
    // Not there yet, or not to be had: the agent says which when it opens it.
    return resolve(file);
  }
}

async function runInJail(job: Job, permissions: Permissions): Promise<number> {
  const lacking = lackingFlags(permissions);
  if (lacking.length > 0) return await refuse([rightsMissing(lacking)]);
  return await report(job, await runJailed(job, permissions));
}

/** Only who runs the program from its source, or another Deno than the built file has, can bring that about. */
function rightsMissing(flags: string[]): string {
  return `Deno was started without rights that this configuration needs: add ${flags.join(" ")}`;
}

async function report(job: Job, { exitCode, message }: JobEnd): Promise<number> {
  if (message === null) return exitCode;
  const asJson = (job.kind === "relay" || job.kind === "edge") && job.log.format === "json";
  await (asJson ? reportLastJson(message) : reportLastLines([message]));
  return exitCode;
}

function eventJob(values: FlagValues): Job {
  return { kind: "event", event: eventOf(values, integrationKeyOf(values)), ...hostsOf(values) };
}

/** A required flag: the settings were refused without it. */
function integrationKeyOf(values: FlagValues): string {
  return values.integration_key ?? "";
}

function eventOf(values: FlagValues, integrationKey: string): AlertEvent {
  const event: AlertEvent = {
    ...minimalEvent(integrationKey, values.event_type ?? "ALERT", values.summary ?? ""),
    alertKey: values.alert_key ?? null,
    details: values.details ?? null,
    priority: values.priority ?? null,
    images: values.image === undefined ? null : [{ src: values.image }],
    links: values.link === undefined ? null : [{ href: values.link, text: "Provided Url" }],
  };
  return enrich(event, event, enrichmentOf(values)).event;
}

function hostsOf(values: FlagValues): { apiHost: string; heartbeatHost: string } {
  return { apiHost: values.api_host, heartbeatHost: values.heartbeat_host };
}

async function refuse(problems: string[]): Promise<number> {
  await reportLastLines(problems);
  return EXIT_USAGE;
}

/** Help as an answer to a mistake goes where mistakes go. */
function reportHelp(): void {
  Deno.stderr.writeSync(new TextEncoder().encode(helpOf(null, VERSION)));
}
