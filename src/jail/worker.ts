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
  const post = (message: FromWorker) => scope.postMessage(message);
  // Unprevented, these print a stack trace and leave the main thread without a reason.
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    post(failed(event.error ?? event.message));
  });
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    post(failed(event.reason));
  });
  scope.addEventListener("message", ({ data }) => {
    if (data.type === "stop") stop.abort();
    else void run(data.job, data.script, stop.signal, post).then(post);
  });
  setInterval(() => post({ type: "alive" }), ALIVE_INTERVAL_MS);
  post({ type: "loaded" });
}

async function run(
  job: Job,
  script: MessagePort | null,
  stop: AbortSignal,
  post: (message: FromWorker) => void,
): Promise<FromWorker> {
  try {
    return { type: "finished", exitCode: await perform(job, script, stop, post) };
  } catch (error) {
    return failed(error);
  }
}

/** Each job loads only its own modules. */
async function perform(
  job: Job,
  script: MessagePort | null,
  stop: AbortSignal,
  post: (message: FromWorker) => void,
): Promise<number> {
  switch (job.kind) {
    case "relay": {
      const { runDaemon } = await import("../commands/daemon_job.ts");
      return await runDaemon(job, stop, daemonEvents(post));
    }
    case "edge": {
      const { runEdgeConnector } = await import("../commands/edge_job.ts");
      return await runEdgeConnector(job, stop, daemonEvents(post), script);
    }
    case "event":
      return await (await import("../commands/event_job.ts")).sendEvent(job, stop);
    case "heartbeat":
      return await (await import("../commands/heartbeat_job.ts")).sendHeartbeat(job, stop);
    case "map":
      return (await import("../commands/map_job.ts")).showMapping(job);
    case "operator":
      return (await import("../commands/operator_job.ts")).operate(job);
    case "repair":
      return (await import("../commands/repair_job.ts")).repairFile(job);
    case "audit":
      return (await import("../commands/audit_job.ts")).audit(job);
  }
}

function daemonEvents(post: (message: FromWorker) => void) {
  return {
    onOpening: () => {
      post({ type: "opening" });
      // Its turn comes when the step is over.
      setTimeout(() => post({ type: "alive" }), 0);
    },
    onBrokerRefused: () => post({ type: "broker_refused" }),
  };
}

function failed(error: unknown): FromWorker {
  if (error instanceof StartupFailure) {
    return { type: "failed", message: error.message, exitCode: error.exitCode };
  }
  return { type: "failed", message: `the agent failed: ${failureOf(error)}`, exitCode: 1 };
}
