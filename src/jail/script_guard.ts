/**
 * The main thread's side of the script's worker: starts it with the right to run two programs and no other right, and
 * notices when it fails. It cannot be started again, because that would take rights the main thread gives up; the
 * agent then ends with the reason, and what was not delivered is delivered after its next start.
 */

import { scriptWorkerPermissions } from "./permissions.ts";
import {
  type FromScriptWorker,
  KILL_MAX_MS,
  type ScriptSetup,
  type ToScriptWorker,
} from "./script_messages.ts";
import { watchForSilence } from "./silence.ts";

export class ScriptGuard {
  /** Its code is loaded; the main thread may give up its rights. */
  readonly loaded: Promise<void>;
  readonly #setup: ScriptSetup;
  readonly #worker: Worker;
  readonly #stopped = Promise.withResolvers<void>();

  /** `onFailure` gets one line for the operator. */
  constructor(setup: ScriptSetup, silenceMaxMs: number, onFailure: (message: string) => void) {
    this.#setup = setup;
    const loaded = Promise.withResolvers<void>();
    this.loaded = loaded.promise;
    this.#worker = new Worker(Deno.mainModule, {
      type: "module",
      name: "script",
      deno: { permissions: scriptWorkerPermissions(setup) },
    });
    const watch = watchForSilence(silenceMaxMs, (seconds) => {
      // Nor will it answer to the stop.
      this.#stopped.resolve();
      fail(`has not answered for ${seconds} s; is the script on a disk that hangs?`);
    });
    const fail = (what: string) => {
      watch.stop();
      onFailure(`the worker that runs the script ${what}`);
    };
    void this.#stopped.promise.then(() => watch.stop());
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      fail(`failed: ${event.message}`);
    });
    this.#worker.addEventListener("message", ({ data }: MessageEvent<FromScriptWorker>) => {
      switch (data.type) {
        case "loaded":
          return loaded.resolve();
        case "alive":
          return watch.heard(silenceMaxMs);
        case "stopped":
          return this.#stopped.resolve();
        case "failed":
          return fail(`failed: ${data.message}`);
      }
    });
  }

  /** Answers with the agent's end of the channel to it. */
  start(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    const message: ToScriptWorker = { type: "start", setup: this.#setup, agent: port1 };
    this.#worker.postMessage(message, [port1]);
    return port2;
  }

  /** Ends the run in hand, so that no script outlives its agent, then the worker. */
  async stop(): Promise<void> {
    const message: ToScriptWorker = { type: "stop" };
    this.#worker.postMessage(message);
    const timer = setTimeout(() => this.#stopped.resolve(), KILL_MAX_MS);
    await this.#stopped.promise;
    clearTimeout(timer);
    this.#worker.terminate();
  }
}
