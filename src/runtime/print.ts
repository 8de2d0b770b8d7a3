/** A command's own output: results on stdout, one line about what went wrong on stderr. */

import { LineWriter } from "./line_writer.ts";

/** For the last words of a process whose stderr nobody reads. */
const LAST_WORDS_MS = 500;

const encoder = new TextEncoder();

export function printLine(line: string): void {
  writeWhole(Deno.stdout, line);
}

export function reportLine(line: string): void {
  writeWhole(Deno.stderr, reported(line));
}

/** For what is said right before the exit, which must come even where the reader of stderr has stalled. */
export async function reportLastLines(lines: readonly string[]): Promise<void> {
  await writeLast(lines.map(reported));
}

/** The same as a line of the JSON log. */
export async function reportLastJson(message: string): Promise<void> {
  const record = { "@timestamp": new Date().toISOString(), level: "fatal", message, properties: {} };
  await writeLast([JSON.stringify(record)]);
}

function reported(line: string): string {
  return `ilagent: ${line.replaceAll("\n", " ")}`;
}

async function writeLast(lines: readonly string[]): Promise<void> {
  const writer = new LineWriter(Deno.stderr);
  for (const line of lines) writer.write(line);
  await writer.flush(LAST_WORDS_MS);
}

function writeWhole(stream: { writeSync(bytes: Uint8Array): number }, line: string): void {
  let bytes = encoder.encode(line + "\n");
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    // Whoever read this has closed the pipe and wants no more of it.
    if (error instanceof Deno.errors.BrokenPipe) return;
    // A result that cannot be written, to a full disk for example, is a failure, and there is nowhere left to say why.
    Deno.exit(1);
  }
}
