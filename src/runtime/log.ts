/** The agent's log. The only importer of LogTape: everything else takes a `Log`. */

import {
  configure,
  dispose,
  getAnsiColorFormatter,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import { LineWriter } from "./line_writer.ts";
import { divertWarnings } from "./process_warnings.ts";
import { redactText } from "./redact.ts";

export type Log = Pick<Logger, "trace" | "debug" | "info" | "warn" | "error" | "isEnabledFor">;

export interface LogConfig {
  /** How often `-v` was given. */
  verbosity: number;
  format: "text" | "json";
  /** Values that must never appear in full. */
  secrets: string[];
}

const FLUSH_TIMEOUT_MS = 1_000;

/** Starts logging to stderr; disposing it writes what is still waiting. */
export async function startLog(config: LogConfig): Promise<{ log: Log } & AsyncDisposable> {
  const writer = new LineWriter(Deno.stderr);
  const format = formatter(config.format);
  await configure({
    sinks: {
      stderr: (record) => writer.write(redactText(String(format(record)).trimEnd(), config.secrets)),
    },
    loggers: [
      { category: ["ilagent"], lowestLevel: levelOf(config.verbosity), sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
  const log = getLogger(["ilagent"]);
  divertWarnings((message) => log.debug("The runtime warns: {message}", { message }));
  return {
    log,
    async [Symbol.asyncDispose]() {
      await dispose();
      await writer.flush(FLUSH_TIMEOUT_MS);
    },
  };
}

function formatter(format: LogConfig["format"]): (record: LogRecord) => string {
  if (format === "json") return jsonLine;
  const options = { timestamp: "rfc3339", level: "FULL", value: shown } as const;
  if (Deno.stderr.isTerminal() && !Deno.noColor) {
    return getAnsiColorFormatter({
      ...options,
      category: () => "",
    });
  }
  return getTextFormatter({
    ...options,
    format: ({ timestamp, level, message }) => `${timestamp} ${level.padEnd(7)} ${message}`,
  });
}

/** LogTape's own JSON lines put quotation marks around every text inside a message. */
function jsonLine({ timestamp, level, message, properties }: LogRecord): string {
  const text = message.map((part) => shown(part, String)).join("");
  return JSON.stringify({
    "@timestamp": new Date(timestamp).toISOString(),
    level,
    message: text,
    properties,
  });
}

function shown(value: unknown, inspect: (value: unknown) => string): string {
  return typeof value === "string" ? value : inspect(value);
}

/** The levels of the agent this one replaces: nothing or -v warn, then info, debug, and everything. */
function levelOf(verbosity: number): LogLevel {
  return (["warning", "warning", "info", "debug"] as const)[verbosity] ?? "trace";
}
