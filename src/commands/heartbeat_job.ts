/** `ilagent heartbeat` inside the jail. */

import { IlertApi } from "../ilert/api.ts";
import { printLine, reportLine } from "../runtime/print.ts";
import { attemptUntilDone } from "./sending.ts";

export interface SendHeartbeatJob {
  kind: "heartbeat";
  key: string;
  apiHost: string;
  heartbeatHost: string;
}

export async function sendHeartbeat(job: SendHeartbeatJob, stop: AbortSignal): Promise<number> {
  using ilert = new IlertApi({ ...job, connections: 1 }, () => Date.now());
  return await attemptUntilDone(
    async (signal) => {
      const result = await ilert.ping(job.key, signal);
      if (!result.ok) {
        return { exitCode: result.isFinal ? 1 : null, reason: result.reason, retryAfterMs: null };
      }
      const correlation = result.correlationId === null ? "" : `, correlation id ${result.correlationId}`;
      printLine(`Heartbeat accepted by ilert${correlation}`);
      return { exitCode: 0, reason: "", retryAfterMs: null };
    },
    stop,
    (reason) => reportLine(`the heartbeat was not accepted: ${reason}`),
  );
}
