/** Prints each payload as one line. Source: seeds/001, "Stdout"; logs never go there. */

import type { EdgeItem } from "../domain/edge_item.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { ByteSink } from "../runtime/line_writer.ts";
import { pause } from "../runtime/pause.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

/** What outlives the run: the output that may end in the middle of a line; empty where none does. */
export interface OpenLine {
  get(): string;
  /** Survives a kill when it returns; throws where the disk refuses. */
  set(output: string): void;
}

export interface StdoutDeps {
  /** Called when the reader has closed the pipe. */
  onClosed: () => void;
  /** Called when nobody has read for so many ms, and with null once somebody does again. */
  onStalled: (ms: number | null) => void;
  openLine: OpenLine;
  clock: Clock;
}

const NEWLINE = 10;
/** PIPE_BUF of Linux: up to here a pipe takes a write whole or not at all, so that a kill leaves no half line in it. */
const WHOLE_WRITE_BYTES_MAX = 4_096;
/** Together, while the reader keeps up: each write costs as much as dozens of lines. */
const QUICK_WRITE_BYTES_MAX = 32_768;
const QUICK_WRITE_MS = 50;
/** Without a delivery, after which the note of an open line is taken back. */
const NOTE_REST_MS = 1_000;
/** What a pipe holds on Linux: a line with as much behind it has been read. */
const PIPE_BYTES = 65_536;
/** Without progress; a reader may pause. */
const STALL_MS = 10_000;
/** Before the next look at a pipe that is full and does not let us wait for its reader (O_NONBLOCK). */
const FULL_PAUSE_MS = 10;

export class StdoutSink implements Sink {
  readonly itemsMax = 100;
  readonly #output: ByteSink;
  readonly #name: string;
  readonly #deps: StdoutDeps;
  readonly #encoder = new TextEncoder();
  /** The write under way; an aborted delivery leaves it to go on, and the next one comes after it. */
  #writing: Promise<unknown> = Promise.resolve();
  /** Whether what was written last broke off in the middle of a line. */
  #isMidLine: boolean;
  #isNoted: boolean;
  #isClosed = false;
  #isWriting = false;
  /** Whether a full pipe makes us wait, as it usually does. */
  #mayBlock = true;
  /** As long as the reader is slow, little is in hand. */
  #writeBytesMax = WHOLE_WRITE_BYTES_MAX;
  #cancelNoteEnd = () => {};

  /** `name` is the same as in an earlier run only where the output is the same. */
  constructor(output: ByteSink, name: string, deps: StdoutDeps) {
    this.#output = output;
    this.#name = name;
    this.#deps = deps;
    this.#isNoted = deps.openLine.get() !== "";
    this.#isMidLine = deps.openLine.get() === name;
  }

  async *deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncGenerator<SinkOutcome> {
    this.#cancelNoteEnd();
    let written = 0;
    /** Of each line that the pipe may still hold, where it ends. */
    const unread: number[] = [];
    const encoded = items.map(({ body }) => this.#encoder.encode(body + "\n"));
    for (const lines of writesOf(encoded, () => this.#writeBytesMax)) {
      if (written > 0 && !mayGoOn()) break;
      const outcome = await this.#printUnlessAborted(lines, signal);
      if (outcome.kind === "retry") {
        // What a closed pipe still held nobody has read.
        if (!this.#isClosed) yield* unread.map(() => DELIVERED);
        yield outcome;
        return;
      }
      for (const line of lines) unread.push(written += line.length);
      for (; written - (unread[0] ?? written) >= PIPE_BYTES; unread.shift()) yield DELIVERED;
    }
    if (this.#isNoted) this.#cancelNoteEnd = this.#deps.clock.after(NOTE_REST_MS, () => this.#noteEnd());
    yield* unread.map(() => DELIVERED);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#cancelNoteEnd();
    this.#noteEnd();
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
    const { clock } = this.#deps;
    const bytes = joined(lines);
    this.#isWriting = true;
    try {
      if (this.#isMidLine) await this.#write(Uint8Array.of(NEWLINE), signal);
      // Before the first byte, because no kill asks first.
      if (bytes.length > WHOLE_WRITE_BYTES_MAX && !this.#isNoted) this.#note(this.#name);
      const startedAt = clock.monotonic();
      // Of a long line without its end Deno tells how much was written.
      const head = lines.length === 1 ? Math.max(0, bytes.length - WHOLE_WRITE_BYTES_MAX) : 0;
      await this.#write(bytes.subarray(0, head), signal);
      await this.#write(bytes.subarray(head), signal);
      this.#writeBytesMax = this.#mayBlock && clock.monotonic() - startedAt < QUICK_WRITE_MS
        ? Math.min(2 * this.#writeBytesMax, QUICK_WRITE_BYTES_MAX)
        : WHOLE_WRITE_BYTES_MAX;
      return DELIVERED;
    } catch (error) {
      this.#writeBytesMax = WHOLE_WRITE_BYTES_MAX;
      if (signal.aborted) return SHUTTING_DOWN;
      if (error instanceof Deno.errors.BrokenPipe) {
        this.#isClosed = true;
        this.#deps.onClosed();
      }
      return { kind: "retry", reason: `stdout cannot be written: ${failureOf(error)}` };
    } finally {
      this.#isWriting = false;
    }
  }

  async #write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let left = bytes; left.length > 0;) {
      const count = await this.#writeSome(left, signal);
      if (count > 0) this.#isMidLine = left[count - 1] !== NEWLINE;
      left = left.subarray(count);
    }
  }

  /** Waits for a reader as long as it takes. */
  async #writeSome(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    const { clock, onStalled } = this.#deps;
    let isStalled = false;
    const cancel = clock.after(STALL_MS, () => {
      isStalled = true;
      onStalled(STALL_MS);
    });
    try {
      for (;;) {
        try {
          return await this.#output.write(bytes);
        } catch (error) {
          if (signal.aborted || !(error instanceof Deno.errors.WouldBlock)) throw error;
          this.#mayBlock = false;
          // How much of it was written Deno does not tell: on with a new line, and no such write again.
          if (bytes.length > WHOLE_WRITE_BYTES_MAX && bytes.indexOf(NEWLINE) >= 0) {
            this.#isMidLine = true;
            throw error;
          }
          await pause(FULL_PAUSE_MS, clock, signal);
        }
      }
    } finally {
      cancel();
      if (isStalled) onStalled(null);
    }
  }

  #note(output: string): void {
    this.#deps.openLine.set(output);
    this.#isNoted = output !== "";
  }

  #noteEnd(): void {
    if (!this.#isNoted || this.#isMidLine || this.#isWriting) return;
    try {
      this.#note("");
    } catch {
      // Tried again behind the next delivery; the store says what the disk has. An empty line is the worst of it.
    }
  }
}

const DELIVERED: SinkOutcome = { kind: "delivered" };
const SHUTTING_DOWN: SinkOutcome = { kind: "retry", reason: "the agent is shutting down" };

/** In order, up to `bytesMax()` together; a longer line alone. */
function* writesOf(lines: readonly Uint8Array[], bytesMax: () => number): Generator<Uint8Array[]> {
  let write: Uint8Array[] = [];
  let bytes = 0;
  for (const line of lines) {
    if (write.length > 0 && bytes + line.length > bytesMax()) {
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
