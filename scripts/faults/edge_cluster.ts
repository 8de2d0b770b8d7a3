/**
 * Three agents in a cluster, whose leaders are killed, stopped and slowed at random while items keep coming.
 *
 * An item may come twice only where the cluster could not know better: a leader changed or was killed between the two,
 * or a leader that had stood still finished the item it had in hand.
 */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { until } from "../../tests/support/until.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { BATCH_ITEMS, EdgeSite, missing, overtaking, POLL_SECONDS } from "./edge_site.ts";
import { type Arrival, EdgeTarget, TAKEN } from "./edge_target.ts";
import type { Findings } from "./findings.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

const MEMBERS = ["a", "b", "c"] as const;
const CLUSTER = "faults";
/** "return": the leader before the last one leads again, and must not report what it did then. */
type Blow = "kill" | "stop" | "slow" | "return";
const BLOWS_SHORT: readonly Blow[] = ["stop", "return", "kill"];
const BLOWS_LONG = 16;
/** Longer than an interval: a leader that polls in time keeps its place. */
const LEADER_SILENCE_MS = 6_500;
const CHANGE_MS_MAX = 60_000, END_MS_MAX = 120_000;
const ITEMS_PER_TICK = 1, TICK_MS = 20;
/** Of an answer, so that there is always an item in hand. */
const ANSWER_MS = 2;
const SLOW_MS = 8_000, SLOW_STEP_MS = 400;
const CALM_MS_MAX = 3_000;
/** A delivery that the target saw just before the agent could. */
const MARGIN_MS = 500;

export async function tryEdgeCluster(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, seed, isLong } = circumstances;
  const random = randomOf(seed);
  const changes: number[] = [];
  const polls = new Map<string, number>();
  let leaders = 0;
  await using target = await EdgeTarget.start();
  target.reply = () => ({ ...TAKEN, afterMs: ANSWER_MS });
  await using site = await EdgeSite.start(command, {
    leaderSilenceMs: LEADER_SILENCE_MS,
    onAnswered({ path }) {
      const instance = /instance-id=(\w+)/.exec(path)?.[1] ?? "";
      polls.set(instance, (polls.get(instance) ?? 0) + 1);
      const now = stateOf(site).leaders.length;
      if (now !== leaders) changes.push(performance.now());
      leaders = now;
    },
  });
  const start = (member: string) =>
    site.agent(member, [
      ...["--edge_mode", "http", "--edge_http_url", target.url(member)],
      ...["--edge_cluster_id", CLUSTER, "--edge_instance_id", member],
      ...["--edge_standby_interval", POLL_SECONDS],
    ]);
  const agents = new Map(MEMBERS.map((member) => [member as string, start(member)]));
  const resumes: { member: string; at: number }[] = [];
  const feed = setInterval(() => site.add(ITEMS_PER_TICK), TICK_MS);
  const blows: Record<Blow, number> = { kill: 0, stop: 0, slow: 0, return: 0 };

  const strike = async (blow: Blow) => {
    blows[blow]++;
    const leader = stateOf(site).leader;
    const agent = agents.get(leader);
    if (agent === undefined) throw new Error("there is no leader");
    const isChanged = () => stateOf(site).leader !== leader;
    switch (blow) {
      case "kill":
        await agent.kill();
        changes.push(performance.now());
        await until(isChanged, "another leader after a kill", CHANGE_MS_MAX);
        agents.set(leader, start(leader));
        break;
      case "stop":
        agent.signal("SIGSTOP");
        await until(isChanged, "another leader after a stop", CHANGE_MS_MAX);
        resumes.push({ member: leader, at: performance.now() });
        agent.signal("SIGCONT");
        break;
      case "slow":
        await slowDown(agent, random);
        break;
      case "return": {
        const former = stateOf(site).leaders.findLast((member) => member !== leader);
        if (former === undefined) break;
        const heard = () => polls.get(former) ?? 0;
        const before = heard();
        await until(() => heard() > before, "the former leader hears that it no longer leads", CHANGE_MS_MAX);
        site.ilert.edge.appoint(CLUSTER, former);
        const appointed = heard();
        await until(() => heard() > appointed, "it hears that it leads again", CHANGE_MS_MAX);
      }
    }
  };

  try {
    await findings.attempt(
      "edge.cluster.blows",
      "each time an agent leads afterwards and delivers",
      async () => {
        await until(() => target.arrivals.length > 0, "a first delivery", CHANGE_MS_MAX);
        const count = circumstances.cycles ?? BLOWS_LONG;
        const plan = isLong ? Array.from({ length: count }, () => blowOf(random())) : BLOWS_SHORT;
        for (const blow of plan) {
          await strike(blow);
          const seen = site.items;
          await until(
            () => target.arrivals.some(({ number }) => number > seen),
            "deliveries go on",
            CHANGE_MS_MAX,
          );
          await sleep(random() * (isLong ? CALM_MS_MAX : TICK_MS), []);
        }
      },
    );
  } finally {
    clearInterval(feed);
  }
  const numbers = () => target.arrivals.map(({ number }) => number);
  await findings.attempt("edge.cluster.lost", "nothing", async () => {
    await until(() => Number(stateOf(site).processed) === site.items, "ilert has heard of all", END_MS_MAX);
    const lost = missing(numbers(), site.items);
    if (lost.length > 0) throw new Error(`${lost.length}, such as ${lost.slice(0, 3)} (seed ${seed})`);
  });
  findings.check("edge.cluster.order", "no item overtook an earlier one of its alert", overtaking(numbers()));
  const { repeats, unexplained, mostPerChange } = repeatsIn(target.arrivals, changes, resumes);
  findings.check(
    "edge.cluster.repeats",
    "only around a change of leader, at most a batch at each",
    unexplained.length > 0
      ? `${unexplained.length} others, such as ${unexplained[0]} (seed ${seed})`
      : mostPerChange > BATCH_ITEMS
      ? `${mostPerChange} at one change (seed ${seed})`
      : null,
  );
  const { staleReports } = site.ilert.edge.state();
  findings.check(
    "edge.cluster.reports",
    "no agent takes ilert back behind another one's report",
    staleReports === 0 ? null : `${staleReports} did (seed ${seed})`,
  );
  findings.value("edge.cluster.leaders", leaders, "terms");
  findings.value("edge.cluster.blows_of_all", Object.values(blows).reduce((a, b) => a + b), "blows");
  findings.value("edge.cluster.repeated", repeats, "items", { value: site.items, name: "all items" });
}

/** Runs for a moment, stands for a moment: as on a machine that does far too much. */
async function slowDown(agent: AgentProcess, random: () => number): Promise<void> {
  const endsAt = performance.now() + SLOW_MS;
  while (performance.now() < endsAt) {
    agent.signal("SIGSTOP");
    await sleep(random() * SLOW_STEP_MS, []);
    agent.signal("SIGCONT");
    await sleep(random() * SLOW_STEP_MS / 4, []);
  }
}

function repeatsIn(
  arrivals: readonly Arrival[],
  changes: readonly number[],
  resumes: readonly { member: string; at: number }[],
): { repeats: number; unexplained: string[]; mostPerChange: number } {
  const latest = new Map<number, Arrival>();
  const unexplained: string[] = [];
  const perChange = new Map<number, number>();
  const inHand = new Set<number>();
  let repeats = 0;
  for (const arrival of arrivals) {
    const before = latest.get(arrival.number);
    latest.set(arrival.number, arrival);
    if (before === undefined) continue;
    repeats++;
    const change = changes.findLast((at) => at <= arrival.at && at >= before.at - MARGIN_MS);
    const resume = resumes.findIndex(({ member, at }, index) =>
      member === arrival.from && at <= arrival.at && !inHand.has(index)
    );
    if (change !== undefined) perChange.set(change, (perChange.get(change) ?? 0) + 1);
    else if (resume >= 0) inHand.add(resume);
    else {
      const ms = Math.round(arrival.at - before.at);
      unexplained.push(`item ${arrival.number} from ${before.from} and after ${ms} ms from ${arrival.from}`);
    }
  }
  return { repeats, unexplained, mostPerChange: Math.max(0, ...perChange.values()) };
}

function blowOf(random: number): Blow {
  return random < 0.35 ? "kill" : random < 0.65 ? "stop" : random < 0.85 ? "slow" : "return";
}

function stateOf(site: EdgeSite): { leader: string; leaders: string[]; processed: string } {
  return site.ilert.edge.state().clusters[CLUSTER] ?? { leader: "", leaders: [], processed: "0" };
}
