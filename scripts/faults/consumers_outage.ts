/** The broker killed, the way to it cut or stalled, ilert away for longer than a session at the broker lasts. */

import { sleep } from "../../tests/support/waiting_room.ts";
import type { Feed } from "./consumer_feeds.ts";
import { ConsumerRun } from "./consumer_run.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const BATCH = 600;
/** Kafka's is 6 s; what MQTT's keep-alive allows is 7.5 s. */
const OUTAGE_MS = 9_000, OUTAGE_LONG_MS = 40_000;
const LONG_BACK_MS_MAX = 35_000;
/** A group forms anew, a broker comes back after a kill. */
const START_MS_MAX = 30_000;

/** Each time: ready, something breaks under load, `/ready` says so, it heals, `/ready` says so, nothing is missing. */
export async function breakTheWay(
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  await using run = await ConsumerRun.of(feed, circumstances);
  await run.agent.start();
  await run.readyIs(204, START_MS_MAX);
  const ways: Record<string, { breakIt: () => Promise<void> | void; heal: () => Promise<void> | void }> = {
    broker_killed: { breakIt: () => feed.killBroker(), heal: () => feed.restartBroker() },
    network_cut: { breakIt: () => feed.proxy.cut(), heal: () => feed.proxy.heal() },
    network_stalled: { breakIt: () => feed.proxy.stall(), heal: () => feed.proxy.heal() },
  };
  for (const [what, { breakIt, heal }] of Object.entries(ways)) {
    // A cut and a kill look alike from the agent's side.
    if (!circumstances.isLong && what === "network_cut") continue;
    await findings.attempt(
      `${name}.${what}`,
      "/ready is 503 within 10 s, and 204 within 10 s of the end; all arrive",
      async () => {
        await run.send(BATCH);
        run.broken();
        await breakIt();
        try {
          findings.value(`${name}.${what}.noticed`, await run.readyIs(503), "ms");
        } finally {
          await heal();
          // What was on its way is sent again, or arrives only now.
          run.broken();
        }
        findings.value(`${name}.${what}.back`, await run.readyIs(204), "ms");
        run.broken();
        await run.send(BATCH);
        await run.allArrived();
        await run.checkTotals();
      },
    );
  }
  if (circumstances.isLong) await awayForLong(run, `${name}.away_for_long`, findings);
  await run.settle(findings, name);
}

/** By then the agent looks only as often as the contract says: MQTT every 30 s, Kafka every 5 s. */
async function awayForLong(run: ConsumerRun, name: string, findings: Findings): Promise<void> {
  await findings.attempt(name, "the way back is found within 35 s after an outage of 40 s", async () => {
    run.broken();
    run.feed.proxy.cut();
    await run.send(BATCH);
    await sleep(OUTAGE_LONG_MS, []);
    run.feed.proxy.heal();
    findings.value(`${name}.back`, await run.readyIs(204, LONG_BACK_MS_MAX), "ms");
    await run.allArrived();
  });
}

/** Nothing breaks but ilert: the agent stays a member, holds what it has, and repeats nothing. */
export async function ilertAway(
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  await using run = await ConsumerRun.of(feed, circumstances);
  await run.agent.start();
  await run.readyIs(204, START_MS_MAX);
  await findings.attempt(
    name,
    "the agent stays ready, and what waits at the broker arrives once",
    async () => {
      await run.send(BATCH);
      // What is in flight at this moment has no answer: it may be repeated.
      run.broken();
      await run.ilert.goDown();
      await run.send(BATCH);
      await sleep(circumstances.isLong ? OUTAGE_LONG_MS : OUTAGE_MS, []);
      const readiness = await run.agent.status("/ready");
      await run.ilert.comeBack();
      if (readiness !== 204) throw new Error(`/ready answered ${readiness} while ilert was away`);
      await run.allArrived();
    },
  );
  await run.settle(findings, name);
}
