/**
 * The outside of the jail: starts the agent's worker with exactly its rights, gives up its own, passes signals in and
 * the exit code out, and ends the process when the worker throws, exits or stops answering.
 */

import type { FromWorker, Job, ToWorker } from "./messages.ts";
import { type Permissions, workerPermissions } from "./permissions.ts";
import { ScriptGuard } from "./script_guard.ts";
import type { ScriptSetup } from "./script_messages.ts";
import { watchForSilence } from "./silence.ts";

/** A worker silent for this long is taken for dead. */
export interface SilenceLimits {
  agentMs: number;
  scriptMs: number;
}

const SILENCE_LIMITS: SilenceLimits = {
  /** Far beyond any fsync, well within an on-call target. */
  agentMs: 15_000,
  /** Starting a program blocks its worker, on a network disk for long; the agent notices sooner and retries. */
  scriptMs: 60_000,
};
/** While it opens its database: taking over millions of rows of another agent may need minutes. */
const OPENING_MAX_MS = 600_000;

/** Terminals, `timeout` and task runners signal the process and its group: what arrives this soon is the same signal. */
const ONE_SIGNAL_MS = 200;

const PERMISSION_NAMES = ["net", "read", "write", "run", "env", "sys", "ffi", "import"] as const;

export interface JobEnd {
  exitCode: number;
  /** One line for the operator; null where there is nothing to say. */
  message: string | null;
}

/**
 * Resolves when the job is over, however that came about. Never throws. `script` is what the job may have run for it,
 * by a worker of its own.
 */
export function runJailed(
  job: Job,
  permissions: Permissions,
  script: ScriptSetup | null = null,
  silence: SilenceLimits = SILENCE_LIMITS,
): Promise<JobEnd> {
  const worker = new Worker(Deno.mainModule, {
    type: "module",
    name: "agent",
    deno: { permissions: workerPermissions(permissions) },
  });
  const send = (message: ToWorker, ports: MessagePort[] = []) => worker.postMessage(message, ports);
  return new Promise((resolve) => {
    const watch = watchForSilence(silence.agentMs, (seconds) => {
      void end({
        exitCode: 1,
        message: `the agent has not answered for ${seconds} s and was ended; queued events are kept`,
      });
    });
    const stopListening = onStopSignals(
      () => send({ type: "stop" }),
      (signal) =>
        void end({ exitCode: 1, message: `ended at once by a second ${signal}; queued events are kept` }),
    );
    let isOver = false;
    const end = async (result: JobEnd) => {
      if (isOver) return;
      isOver = true;
      watch.stop();
      worker.terminate();
      await guard?.stop();
      // Not before: a signal that nobody listens to would end this process, and leave the script behind.
      stopListening();
      resolve(result);
    };
    const guard = script === null
      ? null
      : new ScriptGuard(script, silence.scriptMs, (message) => void end({ exitCode: 1, message }));
    const start = async () => {
      await guard?.loaded;
      revokeEverything();
      const port = guard?.start() ?? null;
      send({ type: "start", job, script: port }, port === null ? [] : [port]);
    };
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      void end({ exitCode: 1, message: `the agent failed: ${event.message}` });
    });
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
      switch (data.type) {
        case "loaded":
          return void start();
        case "alive":
          return watch.heard(silence.agentMs);
        case "opening":
          return watch.heard(OPENING_MAX_MS);
        case "finished":
          return void end({ exitCode: data.exitCode, message: null });
        case "failed":
          return void end({ exitCode: data.exitCode, message: data.message });
      }
    });
  });
}

/** What the main thread gave up it can never regain, and neither can anything that takes it over. */
function revokeEverything(): void {
  for (const name of PERMISSION_NAMES) Deno.permissions.revokeSync({ name });
}

function onStopSignals(first: () => void, second: (signal: Deno.Signal) => void): () => void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  let stoppingSince: number | null = null;
  const listeners = signals.map((signal) => {
    const listener = () => {
      if (stoppingSince === null) {
        stoppingSince = performance.now();
        first();
      } else if (performance.now() - stoppingSince > ONE_SIGNAL_MS) {
        second(signal);
      }
    };
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  return () => listeners.forEach((remove) => remove());
}
