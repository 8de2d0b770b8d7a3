/**
 * `deno task demo`: the real agent between a sender and an emulated ilert. ilert stumbles, goes away and comes back,
 * and the agent is killed under load; at the end every event is looked for. ILAGENT_COMMAND names another agent
 * than the one of this source. `deno task demo edge` shows the edge connector, between the same ilert and a webhook and
 * a script. Exit codes: 0 when nothing was lost or out of order, 1 when something was or the run failed, 2 for a wrong
 * argument, 130 after Ctrl-C.
 */

import { IlertEmulator } from "../tests/support/ilert_emulator.ts";
import { sleep } from "../tests/support/waiting_room.ts";
import { AgentRuns } from "./demo/agent_runs.ts";
import { demoEdge } from "./demo/edge.ts";
import { EdgeAgents } from "./demo/edge_agents.ts";
import { measure, printTable } from "./demo/result.ts";
import { idOf, numberOf, Sender, SOURCES } from "./demo/sender.ts";
import { type Say, storyteller } from "./demo/telling.ts";
import { connectDirectly, fetchDependencies } from "./preparation.ts";

/** The alerts begin evenly over this time. */
const ALERTS = 300, SENDING_MS = 14_000;
const CALM_MS = 2_500, TROUBLE_MS = 3_000, OUTAGE_MS = 5_000, CATCHING_UP_MS = 2_000, DEAD_MS = 1_000;
const STORM_ALERTS = 100, STORM_ACCEPTED_BEFORE_KILL = 20;
/** How long ilert takes to answer, so that deliveries are under way at any moment. */
const ILERT_LATENCY_MS = 20;
const SETTLING_MS_MAX = 20_000, RUN_MS_MAX = 55_000;
const LOG_LINES_SHOWN = 20;

class Interrupted extends Error {}

/** Who plays, and what: what was wrong in the end is the answer. */
interface Play {
  agents: { readonly lines: string[]; kill(): Promise<void> };
  perform: (say: Say, signal: AbortSignal) => Promise<string[]>;
}

const PLAYS: Readonly<Record<string, (folder: string) => Play>> = {
  relay(folder) {
    const agents = new AgentRuns(folder);
    return { agents, perform: (say, signal) => demo(agents, say, signal) };
  },
  edge(folder) {
    const agents = new EdgeAgents(folder);
    return { agents, perform: (say, signal) => demoEdge(agents, say, signal) };
  },
};

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main([name = "relay", ...rest]: string[]): Promise<number> {
  const play = Object.hasOwn(PLAYS, name) && rest.length === 0 ? PLAYS[name] : undefined;
  if (play === undefined) {
    console.error(`There is no such demo; deno task demo [${Object.keys(PLAYS).join("|")}]`);
    return 2;
  }
  const stop = new AbortController();
  for (const name of Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => stop.abort(new Interrupted()));
  }
  const folder = await Deno.makeTempDir({ prefix: "ilagent-demo-" });
  const { agents, perform } = play(folder);
  let problems: string[];
  try {
    await fetchDependencies(stop.signal);
    connectDirectly();
    const overdue = new Error(`the demo is not over after ${RUN_MS_MAX / 1000} s`);
    setTimeout(() => stop.abort(overdue), RUN_MS_MAX);
    problems = await Promise.race([perform(storyteller(), stop.signal), aborted(stop.signal)]);
  } catch (error) {
    problems = [error instanceof Error ? error.message : String(error)];
  }
  await agents.kill();
  const isInterrupted = stop.signal.reason instanceof Interrupted;
  if (isInterrupted || problems.length === 0) {
    await Deno.remove(folder, { recursive: true });
    return isInterrupted ? 130 : 0;
  }
  console.error(`\nFAILED: ${problems.join("; ")}`);
  const log = agents.lines.slice(-LOG_LINES_SHOWN).map((line) => `\n  ${line}`).join("");
  console.error(
    `The agent's files are kept in ${folder}; ${
      log === "" ? "it logged nothing." : `its last log lines:${log}`
    }`,
  );
  return 1;
}

/** The acts, in order. Answers with what was wrong in the end. */
async function demo(agents: AgentRuns, say: Say, signal: AbortSignal): Promise<string[]> {
  const pause = async (ms: number) => {
    await sleep(ms, [signal]);
    signal.throwIfAborted();
  };

  await using ilert = await IlertEmulator.start({
    identify: (event) => idOf(event.alertKey, numberOf(event, "sequence")),
    sequenceOf: (event) => numberOf(event, "sequence"),
  });
  ilert.inject({ kind: "delay", ms: ILERT_LATENCY_MS });
  await agents.start(ilert.url);
  say(`An emulated ilert and the agent (process ${agents.pid}) are up.`);

  const sender = new Sender(`${agents.url}/api/events`, signal);
  /** Accepted by the agent, never arrived at ilert. */
  const waiting = () => {
    const arrived = new Set(
      ilert.accepted.map(({ event }) => idOf(event.alertKey, numberOf(event, "sequence"))),
    );
    return [...sender.acceptedAt.keys()].filter((id) => !arrived.has(id)).length;
  };
  const sending = [sender.sendAlerts("alert", ALERTS, SENDING_MS)];
  say(`${ALERTS} alerts begin to come in, one after the other; each is later accepted and resolved.`);
  await pause(CALM_MS);

  const errors = ilert.inject({ kind: "status", status: 500, on: "event", fraction: 0.25 });
  const limit = ilert.inject({
    kind: "rateLimit",
    on: "event",
    key: SOURCES[0].integrationKey,
    perSecond: 5,
  });
  say("ilert is in trouble: it fails one request in four (500) and slows one alert source down (429).");
  await pause(TROUBLE_MS);
  say(`It answered ${errors.applied} times 500 and ${limit.applied} times 429; now it recovers.`);
  ilert.clearFaults();
  ilert.inject({ kind: "delay", ms: ILERT_LATENCY_MS });
  await pause(CATCHING_UP_MS);

  await ilert.goDown();
  say("ilert is away: connections are refused. The agent still takes every event.");
  await pause(OUTAGE_MS);
  say(`ilert is back. Meanwhile ${waiting()} events wait in the agent's file.`);
  await ilert.comeBack();
  await pause(CATCHING_UP_MS);

  const before = sender.acceptedAt.size;
  sending.push(sender.sendAlerts("storm", STORM_ALERTS, 0));
  say(`A storm: ${STORM_ALERTS} more alerts, all at once.`);
  await sender.progress(() => sender.acceptedAt.size >= before + STORM_ACCEPTED_BEFORE_KILL);
  const { inFlight } = ilert.counts;
  await agents.kill();
  say(
    `The agent is killed in the midst of it (SIGKILL): ${inFlight} deliveries unanswered, ${waiting()} not begun.`,
  );
  await pause(DEAD_MS);
  await agents.start(ilert.url);
  say(`It was started again (process ${agents.pid}), on the same file.`);

  await Promise.all(sending);
  signal.throwIfAborted();
  say("The sender is through; what is still queued goes out.");
  await ilert.waitFor(() => waiting() === 0, { timeoutMs: SETTLING_MS_MAX, signal })
    .catch(() => signal.throwIfAborted()); // Whatever is missing then is found below, one by one.
  const exitCode = await agents.stop();
  const audit = await agents.audit();
  say(`The agent was stopped (SIGTERM, exit code ${exitCode}) and its file audited.`);

  const result = measure(sender, ilert);
  printTable(result, audit.verdict);
  return [
    ...sender.refusals,
    ...result.lost > 0 ? [`${result.lost} accepted events did not reach ilert`] : [],
    ...result.orderViolations > 0 ? [`${result.orderViolations} events arrived out of order`] : [],
    ...audit.holds ? [] : ["the agent's audit does not hold"],
    ...exitCode === 0 ? [] : [`the agent ended with exit code ${exitCode} after SIGTERM`],
  ];
}

/** Not every wait of the demo takes a signal, but the demo must end. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
