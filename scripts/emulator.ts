/**
 * An ilert to try the agent against by hand: `deno task emulator [--port N] [--fast] [--leader-silence SECONDS]`.
 * Exit codes: 0 after Ctrl-C, 1 when the port is taken, 2 for a bad flag.
 */

import { isObject } from "../tests/support/ilert_event_validation.ts";
import { IlertEmulator } from "../tests/support/ilert_emulator.ts";
import type { RecordedRequest } from "../tests/support/ilert_request_log.ts";

const DEFAULT_PORT = 9077;
const LEADER_SILENCE_SECONDS = 30;
const USAGE = `Usage: deno task emulator [--port N] [--fast] [--leader-silence SECONDS]

  --port N  where to listen (default ${DEFAULT_PORT})
  --fast    for benches: counts only, no line per request, no reset, resetMidBody or notHttp
  --leader-silence SECONDS
            after which the leader of an edge cluster loses its place (default ${LEADER_SILENCE_SECONDS})`;

interface Flags {
  port: number;
  fast: boolean;
  leaderSilenceSeconds: number;
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const flags = parseFlags(args);
  if (typeof flags === "string") {
    console.error(`${flags} (see --help)`);
    return 2;
  }
  try {
    await run(flags);
    return 0;
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    console.error(`Cannot listen: port ${flags.port} is in use, choose another with --port`);
    return 1;
  }
}

/** The flags, or what is wrong with them. */
function parseFlags(args: string[]): Flags | string {
  const flags: Flags = { port: DEFAULT_PORT, fast: false, leaderSilenceSeconds: LEADER_SILENCE_SECONDS };
  const rest = args.flatMap((arg) => arg.startsWith("--") ? arg.split(/=(.*)/s, 2) : [arg]);
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--fast") {
      flags.fast = true;
    } else if (arg === "--port") {
      const value = rest.shift() ?? "";
      flags.port = Number(value);
      if (!/^\d+$/.test(value) || flags.port < 1 || flags.port > 65_535) {
        return `--port must be a number from 1 to 65535, not "${value}"`;
      }
    } else if (arg === "--leader-silence") {
      const value = rest.shift() ?? "";
      flags.leaderSilenceSeconds = Number(value);
      if (!(flags.leaderSilenceSeconds > 0)) {
        return `--leader-silence must be a number of seconds, not "${value}"`;
      }
    } else {
      return `Unknown argument "${arg}"`;
    }
  }
  return flags;
}

async function run({ port, fast, leaderSilenceSeconds }: Flags): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGINT", stopped.resolve);
  Deno.addSignalListener("SIGTERM", stopped.resolve);

  await using emulator = await IlertEmulator.start({
    port,
    record: fast ? "counts" : "all",
    rawFaults: !fast,
    leaderSilenceMs: leaderSilenceSeconds * 1000,
    ...(fast ? {} : { onAnswered: (request: RecordedRequest) => console.log(lineOf(request)) }),
  });
  console.log(introduction(emulator.url));
  await stopped.promise;
  console.log(summary(emulator));
}

function introduction(url: string): string {
  return `An emulated ilert listens on ${url}. Ctrl-C ends it. For the agent:

  export ILERT_API_HOST=${url}
  export ILERT_HEARTBEAT_HOST=${url}
  export ILERT_EDGE_CONNECTOR_KEY=any   # for --edge_mode

What it saw, how it fails, and how it recovers:

  curl ${url}/_emulator/state
  curl -d '{"kind":"status","status":503,"times":3}' ${url}/_emulator/faults
  curl -X DELETE ${url}/_emulator/faults
  curl -d '{"count":5}' ${url}/_emulator/edge   # events for the edge connector
`;
}

function lineOf(request: RecordedRequest): string {
  const time = new Date().toISOString().slice("yyyy-mm-ddT".length, -1);
  const call = `${request.method} ${request.path}`.padEnd(18);
  return [time, `#${request.seq}`, call, gist(request.body), "→", request.status].filter((part) =>
    part !== ""
  )
    .join("  ");
}

/** What tells one request from the next; the whole body is at /_emulator/requests. */
function gist(body: unknown): string {
  if (!isObject(body)) return body === undefined ? "" : JSON.stringify(body).slice(0, 80);
  const { eventType, alertKey, summary, email } = body;
  const parts = [
    isText(eventType) ? eventType : "",
    isText(alertKey) ? `[${alertKey}]` : "",
    isText(summary) ? JSON.stringify(summary.slice(0, 80)) : "",
    isText(email) ? email : "",
  ];
  return parts.filter((part) => part !== "").join(" ");
}

function summary(emulator: IlertEmulator): string {
  const { requests, accepted, duplicates, orderViolations, answered } = emulator.counts;
  const statuses = Object.entries(answered).map(([status, count]) => `${status} ×${count}`).join(", ");
  const events = `${accepted} events accepted, ${duplicates} twice, ${orderViolations} out of order`;
  return `\n${requests} requests${
    statuses && ` (${statuses})`
  }; ${events}; ${emulator.alerts.length} alerts.`;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
