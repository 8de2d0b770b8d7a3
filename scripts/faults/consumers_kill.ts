/** SIGKILL of the agent at random moments, while messages come in all the time. */

import { sleep } from "../../tests/support/waiting_room.ts";
import type { Feed } from "./consumer_feeds.ts";
import { ConsumerRun } from "./consumer_run.ts";
import type { Findings } from "./findings.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

/** Of these runs one is killed while it starts. */
const STARTS_PER_EARLY_KILL = 8;
const EARLY_KILL_MS_MAX = 250, KILL_MS_MAX = 400;
const BATCH = 24, BATCH_PAUSE_MS = 10;
/** Published but not arrived; beyond it publishing waits, so that each run sees old and new messages. */
const BACKLOG_MAX = 600;
/** A killed member of a Kafka group keeps its partitions for the session time-out. */
const FIRST_ARRIVAL_MS_MAX = 30_000;
const SHOWN_MAX = 3;

export async function killConsumers(
  feed: Feed,
  name: string,
  cycles: number,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  const random = randomOf(circumstances.seed);
  await using run = await ConsumerRun.of(feed, circumstances);
  const problems: string[] = [];
  await using publishing = new Publishing(run);
  for (let cycle = 1; cycle <= cycles; cycle++) {
    // The first run makes the file, which is looked into after each kill.
    const mayBeEarly = cycle > 1;
    const problem = await killOnce(run, random, mayBeEarly).catch((error: unknown) => String(error));
    if (problem !== null) problems.push(`${cycle}: ${problem}`);
  }
  await run.agent.start();
  await publishing.stop();
  findings.check(
    `${name}.kills`,
    `the ledger holds after each of ${cycles}, and messages come in after each`,
    problems.length === 0 ? null : `${problems.length}: ${problems.slice(0, SHOWN_MAX).join("; ")}`,
  );
  await run.settle(findings, name);
}

/** What was wrong; null where nothing was. */
async function killOnce(run: ConsumerRun, random: () => number, mayBeEarly: boolean): Promise<string | null> {
  const isEarly = mayBeEarly && random() < 1 / STARTS_PER_EARLY_KILL;
  const afterMs = random() * (isEarly ? EARLY_KILL_MS_MAX : KILL_MS_MAX);
  const agent = run.agent.spawn();
  let problem: string | null = null;
  if (!isEarly) {
    await agent.ready();
    const { distinct } = run.arrivals;
    await run.arrivals.changed(() => run.arrivals.distinct > distinct, FIRST_ARRIVAL_MS_MAX)
      .catch((error: Error) => problem = `nothing arrived after the start: ${error.message}`);
  }
  await sleep(afterMs, []);
  run.broken();
  await run.agent.kill();
  const ledger = await run.agent.audit();
  return problem ?? (ledger.holds ? null : `the ledger does not hold: ${JSON.stringify(ledger)}`);
}

class Publishing implements AsyncDisposable {
  readonly #run: ConsumerRun;
  readonly #work: Promise<void>;
  #isOver = false;

  constructor(run: ConsumerRun) {
    this.#run = run;
    this.#work = this.#publish();
    // Told by `stop()`, unless something else is told already.
    this.#work.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  async #publish(): Promise<void> {
    while (!this.#isOver) {
      if (this.#run.owed().length < BACKLOG_MAX) await this.#run.send(BATCH);
      await sleep(BATCH_PAUSE_MS, []);
    }
  }
}
