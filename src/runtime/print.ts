/** A command's own output: results on stdout, one line about what went wrong on stderr. */

const encoder = new TextEncoder();

export function printLine(line: string): void {
  writeWhole(Deno.stdout, line);
}

export function reportLine(line: string): void {
  writeWhole(Deno.stderr, `ilagent: ${line.replaceAll("\n", " ")}`);
}

/** The same as a line of the JSON log. */
export function reportJson(message: string): void {
  const record = { "@timestamp": new Date().toISOString(), level: "fatal", message, properties: {} };
  writeWhole(Deno.stderr, JSON.stringify(record));
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
