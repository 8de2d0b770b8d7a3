/**
 * Runs the script once per item, in a process group of its own.
 *
 *     spawned ──▶ exit 0 ───────────────▶ succeeded; what it left in the background lives on
 *        │
 *        ├─▶ exit ≠ 0, a signal ──┐
 *        ├─▶ 30 s are over ───────┼─▶ the whole group is killed ─▶ failed
 *        └─▶ the caller aborts ───┘
 *
 * A failed item is run again, and two runs of one item must not overlap: so nothing of a failed run stays.
 * What has left the group on purpose (`setsid`) cannot be found any more.
 */

import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import { KILL_MAX_MS, type ScriptInput, type ScriptRun, type ScriptSetup } from "./script_messages.ts";
import { ScriptOutput } from "./script_output.ts";

/** Where the programs of a script are. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Of a variable; the kernel refuses to start a program with one of 128 kB. */
const VARIABLE_CHARACTERS_MAX = 8_192;

/** What a script wrote before its end is in the pipe then; this is for reading it. */
const OUTPUT_GRACE_MS = 50;

/** Output streams that background processes of earlier runs hold open; beyond it the oldest is closed. */
const LINGERING_MAX = 16;

/** A pipe holds four of these. */
const CHUNK_BYTES = 16_384;

const ENCODER = new TextEncoder();

export class ScriptRunner implements AsyncDisposable {
  readonly #setup: ScriptSetup;
  readonly #runMaxMs: number;
  readonly #clock: Clock;
  readonly #lingering = new Set<OutputReader>();
  /** A run that not even SIGKILL has ended yet. */
  #undead: Deno.ChildProcess | null = null;

  constructor(setup: ScriptSetup, runMaxMs: number, clock: Clock) {
    this.#setup = setup;
    this.#runMaxMs = runMaxMs;
    this.#clock = clock;
  }

  /** Never rejects. Not to be called while a run is under way. */
  async run(input: ScriptInput, signal: AbortSignal): Promise<ScriptRun> {
    if (signal.aborted) return failedRun("the agent is shutting down");
    if (this.#undead !== null) {
      return failedRun("an earlier run of the script was killed and has not ended yet");
    }
    let child: Deno.ChildProcess;
    try {
      child = this.#spawn(input);
    } catch (error) {
      return failedRun(spawnFailure(error, this.#setup.path));
    }
    const output = new ScriptOutput();
    const readers = [child.stdout, child.stderr].map((stream) => new OutputReader(stream, output));
    void feed(child.stdin, input.body);
    const failure = await this.#end(child, signal);
    await this.#within(OUTPUT_GRACE_MS, Promise.all(readers.map(({ ended }) => ended)));
    for (const reader of readers) this.#letGo(reader);
    return { failure, lines: output.lines, droppedBytes: output.droppedBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reader of this.#lingering) reader.close();
    await Promise.all([...this.#lingering].map(({ ended }) => ended));
  }

  #spawn(input: ScriptInput): Deno.ChildProcess {
    return new Deno.Command(this.#setup.path, {
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      clearEnv: true,
      env: { PATH, ...this.#setup.env, ...variablesOf(input) },
      detached: true,
    }).spawn();
  }

  /** Null where the script succeeded, else why not, and by then its group is dead. */
  async #end(child: Deno.ChildProcess, signal: AbortSignal): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    void child.status.then((status) => resolve(failureOfStatus(status)));
    const cancel = this.#clock.after(
      this.#runMaxMs,
      () => resolve(`the script took longer than ${this.#runMaxMs / 1000} s and was killed`),
    );
    const onAbort = () => resolve("the script was killed because the agent is shutting down");
    signal.addEventListener("abort", onAbort);
    const failure = await promise;
    cancel();
    signal.removeEventListener("abort", onAbort);
    if (failure !== null) await this.#kill(child);
    return failure;
  }

  async #kill(child: Deno.ChildProcess): Promise<void> {
    this.#undead = child;
    const ended = child.status.then(() => {
      this.#undead = null;
    });
    try {
      // `Deno.kill` of a group would need the right to run anything. An empty group is no error worth telling.
      await new Deno.Command(this.#setup.killPath, {
        args: ["-KILL", "--", `-${child.pid}`],
        clearEnv: true,
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn().status;
    } catch {
      killAlone(child);
    }
    await this.#within(KILL_MAX_MS, ended);
  }

  /** A stream still open belongs to a background process, which would be ended by writing to a closed one. */
  #letGo(reader: OutputReader): void {
    reader.detach();
    this.#lingering.add(reader);
    void reader.ended.then(() => this.#lingering.delete(reader));
    const [oldest] = this.#lingering;
    if (this.#lingering.size > LINGERING_MAX) oldest?.close();
  }

  async #within(limitMs: number, work: Promise<unknown>): Promise<void> {
    let cancel = () => {};
    const limit = new Promise<void>((resolve) => cancel = this.#clock.after(limitMs, resolve));
    await Promise.race([work, limit]);
    cancel();
  }
}

/** Where nothing was run. */
export function failedRun(failure: string): ScriptRun {
  return { failure, lines: [], droppedBytes: 0 };
}

/** Reads to the end of the stream, whoever holds it open by then. */
class OutputReader {
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamBYOBReader;
  #lines: ReturnType<ScriptOutput["stream"]> | null;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>, output: ScriptOutput) {
    this.#reader = stream.getReader({ mode: "byob" });
    this.#lines = output.stream();
    this.ended = this.#read();
  }

  /** What comes later belongs to no run any more. */
  detach(): void {
    this.#lines?.end();
    this.#lines = null;
  }

  close(): void {
    void this.#reader.cancel().catch(() => {});
  }

  async #read(): Promise<void> {
    try {
      let chunk = new Uint8Array(CHUNK_BYTES);
      for (;;) {
        const { value, done } = await this.#reader.read(chunk);
        if (done) return;
        this.#lines?.take(value);
        chunk = new Uint8Array(value.buffer);
      }
    } catch {
      // A pipe that fails tells no more than one that ends.
    }
  }
}

/** A script may ignore its stdin or close it early: its exit code alone decides. */
async function feed(stdin: WritableStream<Uint8Array<ArrayBuffer>>, body: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(ENCODER.encode(body));
    await writer.close();
  } catch {
    // EPIPE: nobody reads any more.
  }
}

function variablesOf({ eventType, alertId, itemId, timestamp }: ScriptInput): Record<string, string> {
  return {
    ILERT_EVENT_TYPE: variable(eventType),
    ILERT_ALERT_ID: variable(alertId),
    ILERT_EDGE_ITEM_ID: variable(itemId),
    ILERT_TIMESTAMP: variable(timestamp),
  };
}

/** What no environment can carry is left out, so that no payload makes its own delivery impossible; stdin has it all. */
function variable(text: string): string {
  return text.replaceAll("\0", "").slice(0, VARIABLE_CHARACTERS_MAX);
}

function failureOfStatus({ code, signal }: Deno.CommandStatus): string | null {
  if (signal !== null) return `the script was ended by ${signal}`;
  return code === 0 ? null : `the script ended with exit code ${code}`;
}

function spawnFailure(error: unknown, path: string): string {
  if (error instanceof Deno.errors.NotFound) {
    return `the script cannot be started: ${path} or the program in its first line does not exist`;
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return `the script cannot be started: ${path} is not executable`;
  }
  const reason = failureOf(error).replace(/^Failed to spawn '.*': /, "");
  if (reason === "Text file busy") return `the script cannot be started: ${path} is being written`;
  return `the script cannot be started: ${reason}`;
}

function killAlone(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}
