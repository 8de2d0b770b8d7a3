/**
 * `deno task live`: the agent against the real ilert, with the user's own key in ILERT_INTEGRATION_KEY. Two alerts,
 * one through `ilagent event`, one through the daemon; ILERT_API_HOST names another ilert, such as the emulator.
 * Exit codes: 0 when ilert took everything or the user said no, 1 when it did not, 2 for a missing key or answer.
 */

import { join } from "node:path";
import { AgentProcess, BUILT, freePort, runAgent, type RunOptions } from "../tests/support/agent_process.ts";
import { isObject } from "../tests/support/ilert_event_validation.ts";
import { PROXY_VARIABLES } from "./build/run_flags.ts";
import { connectDirectly, fetchDependencies, isFile } from "./preparation.ts";

const STAGES = ["ALERT", "ACCEPT", "RESOLVE"] as const;
const SUMMARY = "ilagent live check, please ignore: it resolves itself";
const DEFAULT_HOST = "https://api.ilert.com";
/** The user's way to ilert; everything else the agent must not see. */
const PASSED_VARIABLES = [
  "ILERT_INTEGRATION_KEY",
  "ILERT_API_HOST",
  "ILERT_HEARTBEAT_HOST",
  ...PROXY_VARIABLES,
];
const DELIVERY_MS_MAX = 60_000, AUDIT_INTERVAL_MS = 500, POST_MS_MAX = 10_000;

interface Step {
  name: string;
  isOk: boolean;
  /** What was answered, in one line. */
  answer: string;
}

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--yes");
  if (unknown !== undefined) return refuse(`unknown argument ${unknown}: only --yes is known`);
  const key = Deno.env.get("ILERT_INTEGRATION_KEY") ?? "";
  if (key === "") {
    return refuse("set ILERT_INTEGRATION_KEY to the integration key of an alert source of yours");
  }

  const host = Deno.env.get("ILERT_API_HOST") || DEFAULT_HOST;
  console.log(
    `This opens two alerts at ${host}, "${SUMMARY}", and resolves both right away; it may notify who is on call.`,
  );
  if (!args.includes("--yes")) {
    if (!Deno.stdin.isTerminal()) return refuse("nobody is there to ask: add --yes to send the alerts");
    if (!confirm("Send them?")) return 0;
  }

  const folder = await Deno.makeTempDir({ prefix: "ilagent-live-" });
  const env = passedVariables();
  const steps: Step[] = [];
  try {
    const isBuilt = await isFile(BUILT);
    if (!isBuilt) await fetchDependencies();
    connectDirectly();
    console.log(`The agent is ${isBuilt ? "dist/ilagent" : "run from source"}.`);
    const options: RunOptions = { command: isBuilt ? "built" : "source", env, cwd: folder };
    const alertKey = `ilagent-live-${crypto.randomUUID()}`;
    await sendByCommand(`${alertKey}-event`, options, steps);
    await sendByDaemon(`${alertKey}-daemon`, key, join(folder, "live.db3"), options, steps);
  } catch (error) {
    steps.push({
      name: "the run",
      isOk: false,
      answer: error instanceof Error ? error.message : String(error),
    });
  }
  await Deno.remove(folder, { recursive: true });
  return report(steps);
}

/** An alert that could not be accepted is still resolved. */
async function sendByCommand(alertKey: string, options: RunOptions, steps: Step[]): Promise<void> {
  for (const stage of STAGES) {
    const args = ["event", "-t", stage, "-i", alertKey, "-s", SUMMARY, "-o", "LOW"];
    const { code, stdout, stderr } = await runAgent(args, options);
    steps.push({ name: `event ${stage}`, isOk: code === 0, answer: (stdout + stderr).trim() });
    if (code !== 0 && stage === "ALERT") return;
  }
}

async function sendByDaemon(
  alertKey: string,
  integrationKey: string,
  file: string,
  options: RunOptions,
  steps: Step[],
): Promise<void> {
  const args = ["daemon", "--host", "127.0.0.1", "-p", `${await freePort()}`, "-f", file];
  await using agent = AgentProcess.start({ ...options, args });
  await agent.ready();
  const stages = ["ALERT", "RESOLVE"];
  for (const eventType of stages) {
    const event = { integrationKey, eventType, alertKey, summary: SUMMARY, priority: "LOW" };
    const status = await post(`${agent.url}/api/events`, event);
    steps.push({
      name: `daemon ${eventType}`,
      isOk: status === 200,
      answer: `The daemon answered ${status}`,
    });
    if (status !== 200) return;
  }
  steps.push(await deliveryOf(stages.length, file, options));
  const code = await agent.stop();
  steps.push({ name: "daemon stop", isOk: code === 0, answer: `Ended by SIGTERM with exit code ${code}` });
}

/** The daemon answers before ilert does: its ledger tells what became of the events. */
async function deliveryOf(count: number, file: string, options: RunOptions): Promise<Step> {
  const deadline = performance.now() + DELIVERY_MS_MAX;
  while (true) {
    const { stdout } = await runAgent(["audit", "--json", "-f", file], options);
    const delivered = countIn(stdout, "delivered"), dead = countIn(stdout, "dead");
    if (delivered + dead >= count || performance.now() > deadline) {
      const answer = `ilert took ${delivered} of ${count} events, refused ${dead}`;
      return { name: "daemon delivery", isOk: delivered === count, answer };
    }
    await new Promise((resolve) => setTimeout(resolve, AUDIT_INTERVAL_MS));
  }
}

async function post(url: string, event: unknown): Promise<number> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(event),
    signal: AbortSignal.timeout(POST_MS_MAX),
  });
  await response.body?.cancel();
  return response.status;
}

function countIn(audit: string, name: "delivered" | "dead"): number {
  const parsed: unknown = audit === "" ? null : JSON.parse(audit);
  return isObject(parsed) ? Number(parsed[name]) : 0;
}

function report(steps: Step[]): number {
  console.log("");
  for (const { name, isOk, answer } of steps) {
    console.log(`  ${name.padEnd(18)}${isOk ? "ok    " : "FAILED"}  ${answer}`);
  }
  if (steps.every(({ isOk }) => isOk)) {
    console.log("\nilert took everything.");
    return 0;
  }
  console.error(
    `\nNot everything went through. Where an alert with that summary is open now, resolve it by hand.`,
  );
  return 1;
}

function refuse(problem: string): number {
  console.error(`live: ${problem}`);
  return 2;
}

function passedVariables(): Record<string, string> {
  return Object.fromEntries(PASSED_VARIABLES.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}
