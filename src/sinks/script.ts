/**
 * Has the script run for each item, by the worker that alone may do so. Source: the edge connector's page, "Script".
 * What the script writes goes to the log.
 */

import { type EdgeItem, factsOf } from "../domain/edge_item.ts";
import {
  type FromScript,
  KILL_MAX_MS,
  RUN_MAX_MS,
  type ScriptRun,
  type ToScript,
} from "../jail/script_messages.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

/** The worker ends every run within this; what takes longer is the worker itself. */
const ANSWER_MAX_MS = RUN_MAX_MS + KILL_MAX_MS + 5_000;

export class ScriptSink implements Sink {
  readonly itemsMax = 1;
  readonly #worker: MessagePort;
  readonly #clock: Clock;
  readonly #log: Log;
  #runs = 0;
  #waiting: { id: number; answer: (run: ScriptRun) => void } | null = null;

  /** `worker` is this sink's end of the channel to the script's worker. */
  constructor(worker: MessagePort, clock: Clock, log: Log) {
    this.#worker = worker;
    this.#clock = clock;
    this.#log = log;
    worker.onmessage = ({ data }: MessageEvent<FromScript>) => {
      // What comes after its time belongs to a delivery that was already answered.
      if (data.id === this.#waiting?.id) this.#waiting.answer(data.run);
    };
  }

  async *deliver(items: readonly EdgeItem[], signal: AbortSignal): AsyncGenerator<SinkOutcome> {
    for (const item of items) {
      const outcome = await this.#deliver(item, signal);
      yield outcome;
      if (outcome.kind === "retry") return;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#worker.close();
    return Promise.resolve();
  }

  async #deliver(item: EdgeItem, signal: AbortSignal): Promise<SinkOutcome> {
    if (signal.aborted) return { kind: "retry", reason: "the agent is shutting down" };
    const run = await this.#run(item, signal);
    this.#logOutput(item, run);
    return run.failure === null ? { kind: "delivered" } : { kind: "retry", reason: run.failure };
  }

  async #run(item: EdgeItem, signal: AbortSignal): Promise<ScriptRun> {
    const id = ++this.#runs;
    const { promise, resolve } = Promise.withResolvers<ScriptRun>();
    this.#waiting = { id, answer: resolve };
    const giveUp = () => {
      this.#tell({ type: "end", id });
      resolve({ failure: "the script's worker does not answer", lines: [], droppedBytes: 0 });
    };
    let cancel = this.#clock.after(ANSWER_MAX_MS, giveUp);
    const onAbort = () => {
      this.#tell({ type: "end", id });
      cancel();
      cancel = this.#clock.after(KILL_MAX_MS, giveUp);
    };
    signal.addEventListener("abort", onAbort);
    this.#tell({ type: "run", id, input: { body: item.body, itemId: item.id, ...factsOf(item) } });
    const run = await promise;
    cancel();
    signal.removeEventListener("abort", onAbort);
    this.#waiting = null;
    return run;
  }

  #tell(message: ToScript): void {
    this.#worker.postMessage(message);
  }

  #logOutput(item: EdgeItem, { failure, lines, droppedBytes }: ScriptRun): void {
    const level = failure === null ? "info" : "warn";
    for (const line of lines) this.#log[level]("Script, item {item}: {line}", { item: item.id, line });
    if (droppedBytes > 0) {
      const bytes = { item: item.id, bytes: droppedBytes };
      this.#log[level]("Script, item {item}: wrote {bytes} bytes more, which are not shown", bytes);
    }
  }
}
