/**
 * The agent with a hostile worker: the real supervisor and the real permissions of a relay, but the workers
 * fail instead of working. Arguments: how they fail, the relay's file and API host, the script and kill.
 */

import { NO_ENRICHMENT } from "../support/no_enrichment.ts";
import { relayPermissions } from "../../src/jail/permissions.ts";
import type { ScriptSetup } from "../../src/jail/script_messages.ts";
import { runJailed } from "../../src/jail/supervisor.ts";
import { reportLine } from "../../src/runtime/print.ts";
import type { RelayConfig } from "../../src/relay.ts";

const [deed = "", file = "", apiHost = "", scriptPath = "", killPath = ""] = Deno.args;
const script: ScriptSetup = { path: scriptPath, killPath, env: {} };

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
else if (self.name === "script") await misbehaveWithScript();
else await guard();

async function guard(): Promise<void> {
  const job = {
    kind: "relay" as const,
    config,
    log: { verbosity: 0, format: "text" as const, secrets: [] },
    warnings: [],
  };
  const { exitCode, message } = await runJailed(
    job,
    relayPermissions(config),
    deed.includes("script") ? script : null,
    { agentMs: 2_000, scriptMs: 2_000 },
  );
  if (message !== null) reportLine(message);
  Deno.exit(exitCode);
}

async function misbehaveWithScript(): Promise<void> {
  const { serveScript } = await import("../../src/jail/script_worker.ts");
  serveScript(self as unknown as Parameters<typeof serveScript>[0]);
  misbehaveSoon();
}

async function misbehave(): Promise<void> {
  const { serveJob } = await import("../../src/jail/worker.ts");
  serveJob(self as unknown as Parameters<typeof serveJob>[0]);
  if (!deed.includes("script")) misbehaveSoon();
}

function misbehaveSoon(): void {
  setTimeout(() => {
    if (deed.startsWith("throw")) throw new Error("boom\nsecond line");
    if (deed.startsWith("reject")) void Promise.reject(new Error("rejected"));
    if (deed.startsWith("exit")) Deno.exit(0);
    if (deed.startsWith("block")) { for (;;); }
  }, 300);
}
