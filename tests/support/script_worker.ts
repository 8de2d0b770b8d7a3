/** The worker that runs the script, as the main thread starts it, for tests of the agent's side. */

import { MAIN } from "./agent_process.ts";
import type { FromScriptWorker, ScriptSetup, ToScriptWorker } from "../../src/jail/script_messages.ts";
import { scriptWorkerPermissions } from "../../src/jail/permissions.ts";

export class TestScriptWorker implements AsyncDisposable {
  /** The agent's end of the channel to it. */
  readonly port: MessagePort;
  readonly #worker: Worker;

  private constructor(worker: Worker, setup: ScriptSetup) {
    this.#worker = worker;
    const { port1, port2 } = new MessageChannel();
    this.port = port2;
    const message: ToScriptWorker = { type: "start", setup, agent: port1 };
    worker.postMessage(message, [port1]);
  }

  static async start(setup: ScriptSetup): Promise<TestScriptWorker> {
    const worker = new Worker(new URL(`file://${MAIN}`), {
      type: "module",
      name: "script",
      deno: { permissions: scriptWorkerPermissions(setup) },
    });
    await said(worker, "loaded");
    return new TestScriptWorker(worker, setup);
  }

  /** Ends the run in hand. */
  async stop(): Promise<void> {
    const stopped = said(this.#worker, "stopped");
    const message: ToScriptWorker = { type: "stop" };
    this.#worker.postMessage(message);
    await stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#worker.terminate();
    this.port.close();
  }
}

function said(worker: Worker, type: FromScriptWorker["type"]): Promise<void> {
  return new Promise((resolve, reject) => {
    const listener = ({ data }: MessageEvent<FromScriptWorker>) => {
      if (data.type === "failed") reject(new Error(data.message));
      else if (data.type === type) resolve();
      else return;
      worker.removeEventListener("message", listener);
    };
    worker.addEventListener("message", listener);
  });
}
