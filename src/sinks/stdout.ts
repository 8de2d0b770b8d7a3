/** Prints each payload as one line. Source: seeds/001, "Stdout"; logs never go there. */

import type { EdgeItem } from "../domain/edge_item.ts";
import { failureOf } from "../runtime/failure.ts";
import type { ByteSink } from "../runtime/line_writer.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

const NEWLINE = 10;

export class StdoutSink implements Sink {
  /** So many lines are one write. */
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

  async deliver(items: readonly EdgeItem[], signal: AbortSignal): Promise<SinkOutcome[]> {
    if (signal.aborted) return [SHUTTING_DOWN];
    const { promise: aborted, resolve } = Promise.withResolvers<SinkOutcome[]>();
    const onAbort = () => resolve([SHUTTING_DOWN]);
    signal.addEventListener("abort", onAbort);
    const written = this.#writing.then(() => this.#print(items, signal));
    this.#writing = written;
    try {
      // A reader that has stalled must not hold up the end of the agent.
      return await Promise.race([written, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #print(items: readonly EdgeItem[], signal: AbortSignal): Promise<SinkOutcome[]> {
    if (signal.aborted) return [SHUTTING_DOWN];
    const start = this.#isMidLine ? "\n" : "";
    let bytes = this.#encoder.encode(start + items.map(({ body }) => body + "\n").join(""));
    try {
      while (bytes.length > 0) {
        const count = await this.#output.write(bytes);
        if (count > 0) this.#isMidLine = bytes[count - 1] !== NEWLINE;
        bytes = bytes.subarray(count);
      }
      return items.map(() => ({ kind: "delivered" }));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) this.#onClosed();
      return [{ kind: "retry", reason: `stdout cannot be written: ${failureOf(error)}` }];
    }
  }
}

const SHUTTING_DOWN: SinkOutcome = { kind: "retry", reason: "the agent is shutting down" };
