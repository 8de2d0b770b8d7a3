/**
 * The program with hostile workers: settings, rights and supervisor are the real ones, but each role tries what it must not
 * do, reports it as a line of JSON on stdout and lets the next one begin. Arguments: `Targets` as JSON, then those of
 * `ilagent`.
 */

import { runOrReport } from "../../src/commands/run.ts";
import type { FromBrokerWorker, ToBrokerWorker } from "../../src/jail/broker_messages.ts";
import type { FromWorker, ToWorker } from "../../src/jail/messages.ts";
import type { FromScriptWorker, ToScriptWorker } from "../../src/jail/script_messages.ts";
import { printLine } from "../../src/runtime/print.ts";
import type { Right, Targets } from "./hostile_attempts.ts";

const [targetsJson = "", ...args] = Deno.args;
const targets: Targets & { announced: string; rightsKept: Right[] } = JSON.parse(targetsJson);

if (self.name === "agent") beAgent();
else if (self.name === "script") beScriptWorker();
else if (self.name === "brokers") beBrokerWorker();
else {
  const exitCode = await runOrReport(args);
  await attemptAs("main thread", targets.rightsKept);
  Deno.exit(exitCode);
}

function beAgent(): void {
  const finish = () =>
    void attemptAs("agent").then(() => post<FromWorker>({ type: "finished", exitCode: 0 }));
  onMessage<ToWorker>((data) => {
    if (data.type !== "start") return;
    // The end of the agent ends the script's worker, so that one goes first.
    if (data.script === null) finish();
    else data.script.onmessage = finish;
  });
  post<FromWorker>({ type: "loaded" });
}

function beScriptWorker(): void {
  onMessage<ToScriptWorker>((data) => {
    if (data.type === "stop") return post<FromScriptWorker>({ type: "stopped" });
    void attemptAs("script").then(() => data.agent.postMessage("done"));
  });
  post<FromScriptWorker>({ type: "loaded" });
}

function beBrokerWorker(): void {
  onMessage<ToBrokerWorker>(() => {
    void attemptAs("brokers").then(() =>
      post<FromBrokerWorker>({ type: "found", addresses: [targets.announced] })
    );
  });
  post<FromBrokerWorker>({ type: "loaded" });
}

async function attemptAs(role: string, rightsKept: Right[] = []): Promise<void> {
  const { attempts } = await import("./hostile_attempts.ts");
  printLine(JSON.stringify({ role, outcomes: await attempts(targets, rightsKept) }));
}

function onMessage<Message>(listener: (message: Message) => void): void {
  self.addEventListener("message", (event) => listener((event as MessageEvent<Message>).data));
}

function post<Message>(message: Message): void {
  (self as unknown as { postMessage(message: Message): void }).postMessage(message);
}
