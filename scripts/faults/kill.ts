/**
 * SIGKILL at random moments under load, again and again, on one file: what the senders and ilert saw, side by side.
 *
 *   start ──▶ ready, senders go on ──(a random while)──▶ SIGKILL ──▶ audit of the file as it lies there ──▶ start …
 *
 * Some agents are killed while they start, before anybody can be answered.
 */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { AgentRuns, type Ledger } from "./agent_runs.ts";
import { Arrivals } from "./arrivals.ts";
import type { Findings } from "./findings.ts";
import { LaneSenders } from "./lane_senders.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

const CYCLES_LONG = 1_000, CYCLES_SHORT = 20;
const CONCURRENCY = 16;
/** Of these runs one is killed while it starts. */
const STARTS_PER_EARLY_KILL = 8;
const EARLY_KILL_MS_MAX = 250, SOON_MS_MAX = 60, LATE_MS_MAX = 500;
const DRAIN_MS_MAX = 60_000, RESTART_DRAIN_MS_MAX = 20_000;
const IDLE_CYCLES = 3;
const FAILURES_SHOWN_MAX = 3;

export async function tryKill(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { seed, isLong } = circumstances;
  const cycles = circumstances.cycles ?? (isLong ? CYCLES_LONG : CYCLES_SHORT);
  const random = randomOf(seed);
  const arrivals = new Arrivals();
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start({
    record: "counts",
    identify: Arrivals.identify,
    sequenceOf: Arrivals.sequenceOf,
    onAnswered: (request) => arrivals.add(request),
  });
  delayAnswers(ilert, seed);
  await using agent = await AgentRuns.of({
    command: circumstances.command,
    file: folder.file("ilagent.db3"),
    ilertUrl: ilert.url,
    flags: ["--delivery_concurrency", `${CONCURRENCY}`],
  });
  const idleRate = await cyclesPerMinute(IDLE_CYCLES, async () => {
    await agent.start();
    await agent.kill();
  });
  const senders = new LaneSenders(agent, arrivals);
  const problems: string[] = [];
  let cycle = 0;
  const rate = await cyclesPerMinute(cycles, async () => {
    cycle++;
    await killOnce({
      agent,
      senders,
      arrivals,
      random,
      problem: (text) => problems.push(`${cycle}: ${text}`),
    });
  });
  await agent.start();
  await senders.finish();

  const shown = problems.slice(0, FAILURES_SHOWN_MAX).join("; ");
  const more = problems.length > FAILURES_SHOWN_MAX
    ? ` and ${problems.length - FAILURES_SHOWN_MAX} more`
    : "";
  findings.check(
    "kill.restarts",
    `the ledger holds after each of ${cycles} kills and what was acknowledged before goes out after`,
    problems.length === 0 ? null : `cycle ${shown}${more} (seed ${seed})`,
  );
  await findings.attempt("kill.end", "all that was acknowledged arrives and the queue is empty", async () => {
    await arrivals.changed(() => senders.owed().length === 0, DRAIN_MS_MAX);
    await until(async () => (await agent.audit()).queued === 0, "the queue is empty", DRAIN_MS_MAX);
    assert.equal(await agent.current.stop(), 0);
    const { holds, dead } = await agent.audit();
    assert.deepEqual({ holds, dead }, { holds: true, dead: 0 });
  });
  report(findings, { senders, arrivals, ilert, seed });
  findings.value("kill.rate", rate, "cycles/min", { value: idleRate, name: "start and kill without load" });
}

interface Cycle {
  agent: AgentRuns;
  senders: LaneSenders;
  arrivals: Arrivals;
  random: () => number;
  problem: (text: string) => void;
}

async function killOnce({ agent, senders, arrivals, random, problem }: Cycle): Promise<void> {
  const isEarly = random() < 1 / STARTS_PER_EARLY_KILL;
  const isPatient = random() < 0.5;
  const afterMs = random() * (isEarly ? EARLY_KILL_MS_MAX : random() < 0.5 ? SOON_MS_MAX : LATE_MS_MAX);
  const owed = senders.owed();
  const run = agent.spawn();
  if (!isEarly) {
    await run.ready();
    senders.go();
    if (isPatient) {
      await arrivals.changed(() => owed.every((id) => arrivals.has(id)), RESTART_DRAIN_MS_MAX)
        .catch((error: Error) =>
          problem(`of ${owed.length} acknowledged before, not all arrive: ${error.message}`)
        );
    }
  }
  await sleep(afterMs, []);
  arrivals.killed(performance.now());
  await agent.kill();
  await senders.hold();
  try {
    const wrong = wrongIn(await agent.audit(), senders, arrivals);
    if (wrong !== null) problem(wrong);
  } catch (error) {
    problem(String(error));
  }
}

/** What an agent that was killed may leave behind, as far as those around it can tell. */
function wrongIn(ledger: Ledger, { answered, unanswered }: LaneSenders, arrivals: Arrivals): string | null {
  const { accepted, delivered, holds } = ledger;
  if (!holds) return `the ledger does not hold: ${JSON.stringify(ledger)}`;
  if (accepted < answered) return `${answered} were acknowledged, the file accepted ${accepted}`;
  if (accepted > answered + unanswered) {
    return `the file accepted ${accepted} of ${answered} acknowledged and ${unanswered} unanswered`;
  }
  if (delivered > arrivals.distinct) return `delivered ${delivered}, but only ${arrivals.distinct} arrived`;
  return null;
}

function report(
  findings: Findings,
  { senders, arrivals, ilert, seed }: {
    senders: LaneSenders;
    arrivals: Arrivals;
    ilert: IlertEmulator;
    seed: number;
  },
): void {
  const again = `(seed ${seed})`;
  const lost = senders.owed();
  const { orderViolations } = ilert.counts;
  const { agentRepeats, senderRepeats, unexplained, mostPerKill } = arrivals.repeats();
  findings.check(
    "kill.lost",
    "none of the acknowledged events",
    lost.length === 0 ? null : `${lost.length}, such as ${lost.slice(0, 3).join(", ")} ${again}`,
  );
  findings.check(
    "kill.order",
    "no event overtook an earlier one of its lane",
    orderViolations === 0
      ? null
      : `${orderViolations}, such as ${JSON.stringify(ilert.orderViolations[0])} ${again}`,
  );
  findings.check(
    "kill.repeats",
    `only of what was in flight at a kill, at most ${CONCURRENCY} at each`,
    unexplained.length > 0
      ? `${unexplained.length} others, such as ${unexplained.slice(0, 3).join(", ")} ${again}`
      : mostPerKill > CONCURRENCY
      ? `${mostPerKill} at one kill ${again}`
      : null,
  );
  findings.check(
    "kill.answers",
    "the intake answers 200 or not at all",
    senders.refusals.length === 0 ? null : senders.refusals.slice(0, 3).join("; "),
  );
  const bound = { value: CONCURRENCY * arrivals.kills, name: "what could be in flight" };
  findings.value("kill.accepted", senders.answered, "events");
  findings.value("kill.lost_events", lost.length, "events");
  findings.value("kill.order_violations", orderViolations, "events");
  findings.value("kill.duplicates_by_agent", agentRepeats, "events", bound);
  findings.value("kill.duplicates_by_sender", senderRepeats, "events", {
    value: senders.unanswered,
    name: "the posts without an answer",
  });
}

/** Spread, so that at any moment some deliveries are in flight and lanes do not move in step. */
function delayAnswers(ilert: IlertEmulator, seed: number): void {
  ilert.inject({ kind: "delay", ms: 3 });
  ilert.inject({ kind: "delay", ms: 10, fraction: 0.5, seed });
  ilert.inject({ kind: "delay", ms: 30, fraction: 0.1, seed: seed + 1 });
}

async function cyclesPerMinute(cycles: number, cycle: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  for (let n = 0; n < cycles; n++) await cycle();
  return cycles / ((performance.now() - startedAt) / 60_000);
}
