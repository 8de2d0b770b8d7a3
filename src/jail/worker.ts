/** The inside of the jail: runs one job with the few rights the main thread left it. */

import { failureOf } from "../runtime/failure.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { ALIVE_INTERVAL_MS, type FromWorker, type Job, type ToWorker } from "./messages.ts";

/** The part of a worker's global scope this needs. */
interface WorkerScope {
  postMessage(message: FromWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToWorker>) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(type: "unhandledrejection", listener: (event: PromiseRejectionEvent) => void): void;
}

export function serveJob(scope: WorkerScope): void {
  const stop = new AbortController();
  // Unprevented, these print a stack trace and leave the main thread without a reason.
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    scope.postMessage(failed(event.error ?? event.message));
  });
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    scope.postMessage(failed(event.reason));
  });
  scope.addEventListener("message", ({ data }) => {
    if (data.type === "stop") stop.abort();
    else void run(data.job, stop.signal).then((message) => scope.postMessage(message));
  });
  setInterval(() => scope.postMessage({ type: "alive" }), ALIVE_INTERVAL_MS);
  scope.postMessage({ type: "loaded" });
}

async function run(job: Job, stop: AbortSignal): Promise<FromWorker> {
  try {
    return { type: "finished", exitCode: await perform(job, stop) };
  } catch (error) {
    return failed(error);
  }
}

/** Each job loads only its own modules. */
async function perform(job: Job, stop: AbortSignal): Promise<number> {
  switch (job.kind) {
    case "relay":
      return await (await import("../commands/daemon_job.ts")).runDaemon(job, stop);
    case "event":
      return await (await import("../commands/event_job.ts")).sendEvent(job, stop);
    case "heartbeat":
      return await (await import("../commands/heartbeat_job.ts")).sendHeartbeat(job, stop);
    case "audit":
      return (await import("../commands/audit_job.ts")).audit(job);
  }
}

function failed(error: unknown): FromWorker {
  if (error instanceof StartupFailure) {
    return { type: "failed", message: error.message, exitCode: error.exitCode };
  }
  return { type: "failed", message: `the agent failed: ${failureOf(error)}`, exitCode: 1 };
}
