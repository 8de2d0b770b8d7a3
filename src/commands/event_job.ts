/** `ilagent event` inside the jail. */

import type { AlertEvent } from "../domain/event.ts";
import { IlertApi } from "../ilert/api.ts";
import { printLine, reportLine } from "../runtime/print.ts";
import { attemptUntilDone } from "./sending.ts";

export interface SendEventJob {
  kind: "event";
  event: AlertEvent;
  apiHost: string;
  heartbeatHost: string;
}

export async function sendEvent(job: SendEventJob, stop: AbortSignal): Promise<number> {
  using ilert = new IlertApi({ ...job, connections: 1 }, () => Date.now());
  return await attemptUntilDone(
    async (signal) => {
      const outcome = await ilert.deliver(job.event, null, signal);
      switch (outcome.kind) {
        case "delivered":
          printLine(`Event accepted by ilert, correlation id ${outcome.correlationId ?? "not given"}`);
          return { exitCode: 0, reason: "", retryAfterMs: null };
        case "rejected":
          return { exitCode: 1, reason: withBody(outcome.reason, outcome.responseBody), retryAfterMs: null };
        case "retry":
          return { exitCode: null, reason: outcome.reason, retryAfterMs: outcome.retryAfterMs };
      }
    },
    stop,
    (reason) => reportLine(`the event was not accepted: ${reason}`),
  );
}

function withBody(reason: string, body: string): string {
  const text = body.replaceAll(/\s+/g, " ").trim();
  return text === "" ? reason : `${reason}: ${text}`;
}
