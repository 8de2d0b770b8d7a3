/** Prints each payload as one line. Source: seeds/001, "Stdout"; logs never go there. */

import type { EdgeItem } from "../domain/edge_item.ts";
import { failureOf } from "../runtime/failure.ts";
import type { ByteSink } from "../runtime/line_writer.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

const NEWLINE = 10;
/** PIPE_BUF of Linux: up to here a pipe takes a write whole or not at all, so that a kill leaves no half line in it. */
const WHOLE_WRITE_BYTES_MAX = 4_096;

export class StdoutSink implements Sink {
  readonly itemsMax = 100;
  readonly #output: ByteSink;
  readonly #onClosed: () => void;
  readonly #encoder = new TextEncoder();
  /** The write under way; an aborted delivery leaves it to go on, and the next one comes after it. */
  #writing: Promise<unknown> = Promise.resolve();
  /** Whether a write broke off in the middle of a line. */
  #isMidLine = false;

  /** `onClosed` is called when the reader has closed the pipe. */
  constructor(output: ByteSink, onClosed: () => void) {
    this.#output = output;
    this.#onClosed = onClosed;
  }

  async *deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    let hasBegun = false;
    for (const lines of writesOf(items.map(({ body }) => this.#encoder.encode(body + "\n")))) {
      if (hasBegun && !mayGoOn()) return;
      hasBegun = true;
      const outcome = await this.#printUnlessAborted(lines, signal);
      if (outcome.kind === "retry") return yield outcome;
      for (const _ of lines) yield outcome;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #printUnlessAborted(lines: readonly Uint8Array[], signal: AbortSignal): Promise<SinkOutcome> {
    if (signal.aborted) return SHUTTING_DOWN;
    const { promise: aborted, resolve } = Promise.withResolvers<SinkOutcome>();
    const onAbort = () => resolve(SHUTTING_DOWN);
    signal.addEventListener("abort", onAbort);
    const written = this.#writing.then(() => this.#print(lines, signal));
    this.#writing = written;
    try {
      // A reader that has stalled must not hold up the end of the agent.
      return await Promise.race([written, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #print(lines: readonly Uint8Array[], signal: AbortSignal): Promise<SinkOutcome> {
    if (signal.aborted) return SHUTTING_DOWN;
    let bytes = joined(this.#isMidLine ? [Uint8Array.of(NEWLINE), ...lines] : lines);
    try {
      while (bytes.length > 0) {
        const count = await this.#output.write(bytes);
        if (count > 0) this.#isMidLine = bytes[count - 1] !== NEWLINE;
        bytes = bytes.subarray(count);
      }
      return { kind: "delivered" };
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) this.#onClosed();
      return { kind: "retry", reason: `stdout cannot be written: ${failureOf(error)}` };
    }
  }
}

const SHUTTING_DOWN: SinkOutcome = { kind: "retry", reason: "the agent is shutting down" };

/** In order, as many together as a pipe takes whole; a longer line alone. */
function* writesOf(lines: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let write: Uint8Array[] = [];
  let bytes = 0;
  for (const line of lines) {
    if (write.length > 0 && bytes + line.length > WHOLE_WRITE_BYTES_MAX) {
      yield write;
      write = [];
      bytes = 0;
    }
    write.push(line);
    bytes += line.length;
  }
  if (write.length > 0) yield write;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
