import type { Log } from "../../src/runtime/log.ts";

/** A log that keeps what it is told, as `level message {properties}`. */
export function memoryLog(): Log & { lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: unknown, properties?: unknown) => {
    lines.push(`${level} ${String(message)} ${JSON.stringify(properties ?? {})}`);
  };
  return {
    lines,
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isEnabledFor: () => true,
  } as unknown as Log & { lines: string[] };
}
