/**
 * SIGKILL at random moments of a delivery, again and again, on one file: where its cursor stands, beside what the
 * target received.
 */

import assert from "node:assert/strict";
import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { BATCH_ITEMS, EdgeSite, missing } from "./edge_site.ts";
import { EdgeTarget, TAKEN } from "./edge_target.ts";
import type { Findings } from "./findings.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

const CYCLES_LONG = 200, CYCLES_SHORT = 12;
/** One in so many is killed while it starts. */
const STARTS_PER_EARLY_KILL = 8;
const EARLY_KILL_MS_MAX = 300, SOON_MS_MAX = 20, LATE_MS_MAX = 300;
/** More than is delivered before the latest kill. */
const ITEMS_AHEAD = 1_100;
const START_MS_MAX = 30_000, END_MS_MAX = 120_000;
/** The target's answers take this long every now and then, so that kills also hit a delivery in hand. */
const SLOW_MS = 5;
const NAME = "killed";
const FAILURES_SHOWN_MAX = 3;

export async function tryEdgeKill(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, seed, isLong } = circumstances;
  const cycles = circumstances.cycles ?? (isLong ? CYCLES_LONG : CYCLES_SHORT);
  const random = randomOf(seed);
  await using site = await EdgeSite.start(command);
  await using target = await EdgeTarget.start();
  target.reply = ({ number }) => number % 5 === 0 ? { ...TAKEN, afterMs: SLOW_MS } : TAKEN;
  const start = () => site.agent(NAME, ["--edge_mode", "http", "--edge_http_url", target.url(NAME)]);
  const run = new Runs(target);
  const problems: string[] = [];

  for (let cycle = 1; cycle <= cycles; cycle++) {
    site.add(run.latest + ITEMS_AHEAD - site.items);
    run.begin();
    const answered = await killOnce(start(), target, run, random);
    const wrong = run.wrongIn(await site.cursor(NAME), answered);
    if (wrong !== null) problems.push(`${cycle}: ${wrong}`);
  }
  const more = problems.length > FAILURES_SHOWN_MAX
    ? ` and ${problems.length - FAILURES_SHOWN_MAX} more`
    : "";
  findings.check(
    "edge.kill.cursor",
    `after each of ${cycles} kills it is not ahead of what the target acknowledged, and at most one batch behind`,
    problems.length === 0
      ? null
      : `cycle ${problems.slice(0, FAILURES_SHOWN_MAX).join("; ")}${more} (seed ${seed})`,
  );
  await findings.attempt(
    "edge.kill.end",
    "all items arrive, and after SIGTERM the cursor is at the last",
    async () => {
      run.begin();
      const agent = start();
      await target.until(() => run.latest === site.items, "the last item", END_MS_MAX);
      assert.equal(await agent.stop(), 0);
      assert.equal(await site.cursor(NAME), site.items);
      assert.deepEqual(missing(target.arrivals.map(({ number }) => number), site.items), []);
    },
  );
  findings.value("edge.kill.items", site.items, "items");
  findings.value("edge.kill.repeated", run.repeats, "items");
  findings.value("edge.kill.repeated_at_one_kill", run.repeatsMax, "items", {
    value: BATCH_ITEMS,
    name: "a batch",
  });
}

/** The last item that was answered before the kill: of a later one the agent could not know. */
async function killOnce(
  agent: AgentProcess,
  target: EdgeTarget,
  run: Runs,
  random: () => number,
): Promise<number> {
  const isEarly = random() < 1 / STARTS_PER_EARLY_KILL;
  const afterMs = random() * (isEarly ? EARLY_KILL_MS_MAX : random() < 0.5 ? SOON_MS_MAX : LATE_MS_MAX);
  if (!isEarly) await target.until(() => run.numbers.length > 0, "a first delivery", START_MS_MAX);
  await sleep(afterMs, []);
  agent.signal("SIGKILL");
  const { answered } = run;
  await agent.exit;
  // What left before the kill may still be on its way.
  await sleep(SLOW_MS, []);
  return answered;
}

/** What the target received, run by run. */
class Runs {
  repeats = 0;
  repeatsMax = 0;
  readonly #target: EdgeTarget;
  #start = 0;
  #cursor = 0;
  #latestBefore = 0;
  #answeredBefore = 0;

  constructor(target: EdgeTarget) {
    this.#target = target;
  }

  /** Of this run. */
  get numbers(): number[] {
    return this.#target.arrivals.slice(this.#start).map(({ number }) => number);
  }

  /** The last item that the target has received, over all runs. */
  get latest(): number {
    return Math.max(this.#latestBefore, this.numbers.at(-1) ?? 0);
  }

  /** The last item that it has acknowledged. */
  get answered(): number {
    const last = this.#target.arrivals.slice(this.#start).findLast(({ isTaken }) => isTaken);
    return Math.max(this.#answeredBefore, last?.number ?? 0);
  }

  begin(): void {
    this.#latestBefore = this.latest;
    this.#start = this.#target.arrivals.length;
  }

  /** `cursor` is where this run has left it, `answered` the last item that the target acknowledged to it. */
  wrongIn(cursor: number, answered: number): string | null {
    const { numbers, latest } = this;
    const before = this.#cursor;
    this.#cursor = cursor;
    this.#answeredBefore = answered;
    const first = numbers[0];
    if (first !== undefined) {
      const repeated = this.#latestBefore - before;
      this.repeats += repeated;
      this.repeatsMax = Math.max(this.repeatsMax, repeated);
    }
    if (cursor > answered) return `the cursor is at ${cursor}, the target acknowledged up to ${answered}`;
    if (latest - cursor > BATCH_ITEMS) return `the cursor is at ${cursor} and ${latest} was received`;
    if (cursor < before) return `the cursor went back from ${before} to ${cursor}`;
    if (first !== undefined && first !== before + 1) return `it began with ${first} at the cursor ${before}`;
    const odd = numbers.find((number, at) => number !== before + 1 + at);
    return odd === undefined ? null : `item ${odd} is not where it should be`;
  }
}
