/**
 * The agent with a hostile worker: the real supervisor and the real permissions of a relay, but the worker runs
 * attempts instead of the agent. Arguments: what the worker does, and the relay's file and API host.
 */

import { NO_ENRICHMENT } from "../../src/domain/enrichment.ts";
import type { FromWorker } from "../../src/jail/messages.ts";
import { relayPermissions } from "../../src/jail/permissions.ts";
import { runJailed } from "../../src/jail/supervisor.ts";
import { printLine, reportLine } from "../../src/runtime/print.ts";
import type { RelayConfig } from "../../src/relay.ts";

const [deed = "", file = "", apiHost = ""] = Deno.args;

const config: RelayConfig = {
  file,
  server: { hostname: "127.0.0.1", port: 18977, intakeToken: null },
  heartbeatKey: null,
  apiHost,
  heartbeatHost: apiHost,
  deliveryConcurrency: 1,
  retriesMax: 1,
  enrichment: NO_ENRICHMENT,
  heartbeatRequiresReady: false,
  alarmKey: null,
  consumers: null,
  limits: { eventsMax: 1, bytesMax: 1e6, deadLettersMax: 1 },
  shutdownTimeoutMs: 1_000,
};

if (self.name === "agent") await misbehave();
else await guard();

async function guard(): Promise<void> {
  const job = {
    kind: "relay" as const,
    config,
    log: { verbosity: 0, format: "text" as const, secrets: [] },
    warnings: [],
  };
  const { exitCode, message } = await runJailed(job, relayPermissions(config), null, 2_000);
  if (message !== null) reportLine(message);
  if (deed === "attempt") {
    const { attempts } = await import("./hostile_attempts.ts");
    printLine(
      JSON.stringify({
        where: "main thread",
        outcomes: await attempts({ file, apiHost, canDeliver: false }),
      }),
    );
  }
  Deno.exit(exitCode);
}

async function misbehave(): Promise<void> {
  const post = (message: FromWorker) =>
    (self as unknown as { postMessage(m: FromWorker): void }).postMessage(message);
  const { serveJob } = await import("../../src/jail/worker.ts");
  if (deed === "attempt") {
    post({ type: "loaded" });
    const { attempts } = await import("./hostile_attempts.ts");
    printLine(
      JSON.stringify({ where: "worker", outcomes: await attempts({ file, apiHost, canDeliver: true }) }),
    );
    return post({ type: "finished", exitCode: 0 });
  }
  serveJob(self as unknown as Parameters<typeof serveJob>[0]);
  setTimeout(() => {
    if (deed === "throw") throw new Error("boom\nsecond line");
    if (deed === "reject") void Promise.reject(new Error("rejected"));
    if (deed === "exit") Deno.exit(0);
    if (deed === "block") { for (;;); }
  }, 300);
}
