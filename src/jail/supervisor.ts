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
type PermissionName = (typeof PERMISSION_NAMES)[number];

export interface JobEnd {
  exitCode: number;
  /** One line for the operator; null where there is nothing to say. */
  message: string | null;
}

/** One run of the agent's worker. */
export interface AgentRun {
  /** However it came about. Never rejects. */
  readonly ended: Promise<JobEnd>;
  /** Asks the agent to end in good order. */
  stop(): void;
  /** Ends it at once. */
  end(result: JobEnd): void;
}

export interface AgentOptions {
  /** What the job may have run for it, by a worker of its own. */
  script?: ScriptSetup | null;
  silence?: SilenceLimits;
  /** Of the main thread, for starting the agent again. */
  keptRights?: readonly PermissionName[];
  onBrokerRefused?: () => void;
}

/** Resolves when the job is over, however that came about. Never throws. */
export async function runJailed(
  job: Job,
  permissions: Permissions,
  script: ScriptSetup | null = null,
  silence: SilenceLimits = SILENCE_LIMITS,
): Promise<JobEnd> {
  const run = startAgent(job, permissions, { script, silence });
  onStopSignals(() => run.stop(), (message) => run.end({ exitCode: 1, message }));
  return await run.ended;
}

export function startAgent(job: Job, permissions: Permissions, options: AgentOptions): AgentRun {
  const { script = null, silence = SILENCE_LIMITS, keptRights = [], onBrokerRefused } = options;
  const worker = new Worker(Deno.mainModule, {
    type: "module",
    name: "agent",
    deno: { permissions: workerPermissions(permissions) },
  });
  const send = (message: ToWorker, ports: MessagePort[] = []) => worker.postMessage(message, ports);
  const { promise: ended, resolve } = Promise.withResolvers<JobEnd>();
  const watch = watchForSilence(silence.agentMs, (seconds) => {
    void end({
      exitCode: 1,
      message: `the agent has not answered for ${seconds} s and was ended; queued events are kept`,
    });
  });
  let isOver = false;
  const end = async (result: JobEnd) => {
    if (isOver) return;
    isOver = true;
    watch.stop();
    worker.terminate();
    await guard?.stop();
    resolve(result);
  };
  const guard = script === null
    ? null
    : new ScriptGuard(script, silence.scriptMs, (message) => void end({ exitCode: 1, message }));
  const start = async () => {
    await guard?.loaded;
    revokeAllBut(keptRights);
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
      case "broker_refused":
        return onBrokerRefused?.();
      case "finished":
        return void end({ exitCode: data.exitCode, message: null });
      case "failed":
        return void end({ exitCode: data.exitCode, message: data.message });
    }
  });
  return { ended, stop: () => send({ type: "stop" }), end: (result) => void end(result) };
}

/** What the main thread gave up it can never regain, and neither can anything that takes it over. */
function revokeAllBut(kept: readonly PermissionName[]): void {
  for (const name of PERMISSION_NAMES) {
    if (!kept.includes(name)) Deno.permissions.revokeSync({ name });
  }
}

/**
 * `second` gets one line for the operator. Never taken back: the process exits with the job's code next, and a signal that
 * nobody listens to would end it with another, before a script is gone.
 */
export function onStopSignals(first: () => void, second: (message: string) => void): void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  let stoppingSince: number | null = null;
  for (const signal of signals) {
    Deno.addSignalListener(signal, () => {
      if (stoppingSince === null) {
        stoppingSince = performance.now();
        first();
      } else if (performance.now() - stoppingSince > ONE_SIGNAL_MS) {
        second(`ended at once by a second ${signal}; queued events are kept`);
      }
    });
  }
}
