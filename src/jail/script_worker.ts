/**
 * The second worker: it alone may run the script, and nothing but our own code is evaluated in it, because the right to
 * run the script and `kill` is nearly every right its user has.
 */

import { systemClock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import { ALIVE_INTERVAL_MS } from "./messages.ts";
import {
  type FromScript,
  type FromScriptWorker,
  RUN_MAX_MS,
  type ScriptInput,
  type ScriptRun,
  type ScriptSetup,
  type ToScript,
  type ToScriptWorker,
} from "./script_messages.ts";
import { failedRun, ScriptRunner } from "./script_runner.ts";

/** The part of a worker's global scope this needs. */
interface ScriptWorkerScope {
  postMessage(message: FromScriptWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToScriptWorker>) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "unhandledrejection", listener: (event: PromiseRejectionEvent) => void): void;
}

export function serveScript(scope: ScriptWorkerScope): void {
  const post = (message: FromScriptWorker) => scope.postMessage(message);
  // Unprevented, these print a stack trace and leave the main thread without a reason.
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    post({ type: "failed", message: failureOf(event.error ?? event.message) });
  });
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    post({ type: "failed", message: failureOf(event.reason) });
  });
  let runs: Runs | null = null;
  scope.addEventListener("message", ({ data }) => {
    if (data.type === "start") runs = new Runs(data.setup, data.agent);
    else void (runs?.stop() ?? Promise.resolve()).then(() => post({ type: "stopped" }));
  });
  setInterval(() => post({ type: "alive" }), ALIVE_INTERVAL_MS);
  post({ type: "loaded" });
}

/** One run at a time, whatever the agent asks for. */
class Runs {
  readonly #agent: MessagePort;
  readonly #runner: ScriptRunner;
  #current: { id: number; abort: AbortController; over: Promise<void> } | null = null;
  #isStopping = false;

  constructor(setup: ScriptSetup, agent: MessagePort) {
    this.#agent = agent;
    this.#runner = new ScriptRunner(setup, RUN_MAX_MS, systemClock);
    agent.onmessage = ({ data }: MessageEvent<ToScript>) => {
      if (data.type === "run") this.#begin(data.id, data.input);
      else if (this.#current?.id === data.id) this.#current.abort.abort();
    };
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#current?.abort.abort();
    await this.#current?.over;
  }

  #begin(id: number, input: ScriptInput): void {
    if (this.#isStopping) return this.#answer(id, failedRun("the agent is shutting down"));
    if (this.#current !== null) return this.#answer(id, failedRun("the run before is not over yet"));
    const abort = new AbortController();
    const over = this.#runner.run(input, abort.signal).then((run) => {
      this.#current = null;
      this.#answer(id, run);
    });
    this.#current = { id, abort, over };
  }

  #answer(id: number, run: ScriptRun): void {
    const message: FromScript = { type: "ended", id, run };
    this.#agent.postMessage(message);
  }
}
