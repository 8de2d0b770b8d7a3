/**
 * The agent with a hostile worker: the real supervisor and the real permissions of a relay, but the workers run
 * attempts instead of the agent. Arguments: what they do, the relay's file and API host, the script and kill.
 */

import { NO_ENRICHMENT } from "../../src/domain/enrichment.ts";
import type { FromWorker, ToWorker } from "../../src/jail/messages.ts";
import { relayPermissions } from "../../src/jail/permissions.ts";
import type { FromScriptWorker, ScriptSetup, ToScriptWorker } from "../../src/jail/script_messages.ts";
import { runJailed } from "../../src/jail/supervisor.ts";
import { printLine, reportLine } from "../../src/runtime/print.ts";
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
  if (deed === "attempt with a script") {
    await attemptAs("main thread", {});
  }
  Deno.exit(exitCode);
}

async function attemptAs(where: string, can: { canDeliver?: boolean; canRun?: boolean }): Promise<void> {
  const { attempts } = await import("./hostile_attempts.ts");
  const outcomes = await attempts({ file, apiHost, script, canDeliver: false, canRun: false, ...can });
  printLine(JSON.stringify({ where, outcomes }));
}

function onMessage<Message>(listener: (message: Message) => void): void {
  self.addEventListener("message", (event) => listener((event as MessageEvent<Message>).data));
}

async function misbehaveWithScript(): Promise<void> {
  if (deed !== "attempt with a script") {
    const { serveScript } = await import("../../src/jail/script_worker.ts");
    serveScript(self as unknown as Parameters<typeof serveScript>[0]);
    return misbehaveSoon();
  }
  const post = (message: FromScriptWorker) =>
    (self as unknown as { postMessage(m: FromScriptWorker): void }).postMessage(message);
  onMessage<ToScriptWorker>((data) => {
    if (data.type === "stop") return post({ type: "stopped" });
    void attemptAs("script's worker", { canRun: true }).then(() => data.agent.postMessage("done"));
  });
  post({ type: "loaded" });
}

async function misbehave(): Promise<void> {
  const post = (message: FromWorker) =>
    (self as unknown as { postMessage(m: FromWorker): void }).postMessage(message);
  const { serveJob } = await import("../../src/jail/worker.ts");
  if (deed === "attempt with a script") {
    onMessage<ToWorker>((data) => {
      // When the other worker has tried all it can: the end of this one ends both.
      if (data.type === "start" && data.script !== null) {
        data.script.onmessage = () =>
          void attemptAs("worker", { canDeliver: true }).then(() => post({ type: "finished", exitCode: 0 }));
      }
    });
    return post({ type: "loaded" });
  }
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
