/** What every queue promises the delivery loop, to be run on each of them. */

import assert from "node:assert/strict";
import type { WakingQueue } from "../../src/delivery/delivery_loop.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import type { QueuedEvent, Settlement } from "../../src/queue/queue.ts";
import { anEvent } from "../support/events.ts";
import type { FakeClock } from "../support/fake_clock.ts";

export interface QueueUnderContract extends AsyncDisposable {
  queue: WakingQueue;
  clock: FakeClock;
  /** Resolves when the event can be claimed. */
  add(event: AlertEvent, apiPath: string | null): Promise<void>;
}

const DELIVERED: Settlement = { kind: "delivered" };
const DEAD: Settlement = { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null };
const nobody = () => false;

export function testEventQueue(name: string, open: () => QueueUnderContract): void {
  Deno.test(`${name}.claim() hands out an event with its path, its time and no attempts`, async () => {
    await using all = open();
    const event = anEvent({ alertKey: "db-1", customDetails: { a: [1, null] } });
    await all.add(event, "/v1/events/mqtt/k");
    const claimed = taken(all.queue);
    assert.deepEqual(claimed.event, event);
    assert.deepEqual([claimed.apiPath, claimed.attempts], ["/v1/events/mqtt/k", 0]);
    assert.equal(claimed.acceptedAt, all.clock.now());
  });

  Deno.test(`${name}.claim() hands out the next event of a lane only after the one before is settled`, async () => {
    await using all = open();
    const { queue } = all;
    await add(all, ...["1", "2", "3", "4"].map((summary) => ({ alertKey: "lane", summary })));
    const settlements = [DELIVERED, DEAD, DELIVERED, DELIVERED];
    for (const [i, settlement] of settlements.entries()) {
      const head = taken(queue);
      assert.equal(head.event.summary, `${i + 1}`);
      assert.equal(queue.claim(nobody), null);
      await queue.settle(head, settlement);
    }
    assert.equal(queue.claim(nobody), null);
  });

  Deno.test(`${name}.claim() keeps lanes of one alert key under different integration keys apart`, async () => {
    await using all = open();
    await add(all, ...["a", "b"].map((key) => ({ alertKey: "lane", integrationKey: key, summary: key })));
    assert.deepEqual(summaries(all.queue).sort(), ["a", "b"]);
  });

  Deno.test(`${name}.claim() hands out events without an alert key all at once, oldest first`, async () => {
    await using all = open();
    const order = Array.from({ length: 2_000 }, (_, i) => `${i}`);
    await add(all, ...order.map((summary) => ({ summary })));
    assert.deepEqual(summaries(all.queue), order);
  });

  Deno.test(`${name}.claim() takes turns between integration keys, while one of them is flooded`, async () => {
    await using all = open();
    const flood = { integrationKey: "flood", summary: "flood" };
    await add(all, ...Array.from({ length: 1_000 }, () => flood));
    all.queue.rescan();
    for (let i = 0; i < 10; i++) taken(all.queue);
    await add(all, { integrationKey: "quiet", summary: "quiet" });
    const rest = summaries(all.queue);
    assert.equal(rest.length, 991);
    assert.ok(rest.indexOf("quiet") < 600, `quiet came ${rest.indexOf("quiet")}th`);
  });

  Deno.test(`${name}.claim() skips paused integration keys; rescan() brings their events back`, async () => {
    await using all = open();
    const { queue } = all;
    await add(all, ...["paused", "free"].map((key) => ({ integrationKey: key, summary: key })));
    assert.deepEqual(summaries(queue, (key) => key === "paused"), ["free"]);
    queue.rescan();
    assert.deepEqual(summaries(queue), ["paused"]);
  });

  Deno.test(`${name}.release() gives an event back as it was`, async () => {
    await using all = open();
    await add(all, { summary: "x" });
    const claimed = taken(all.queue);
    all.queue.release(claimed);
    assert.deepEqual(all.queue.claim(nobody), claimed);
  });

  Deno.test(`${name}.settle() of a failed attempt holds its lane back until the retry is due`, async () => {
    await using all = open();
    const { queue, clock } = all;
    await add(all, { alertKey: "lane", summary: "1" }, { alertKey: "lane", summary: "2" });
    await fail(all, taken(queue), 5_000);
    assert.equal(queue.nextDueAt(), clock.now() + 5_000);
    queue.rescan();
    assert.equal(queue.claim(nobody), null);
    await clock.advance(5_000);
    queue.rescan();
    const retried = taken(queue);
    assert.deepEqual([retried.event.summary, retried.attempts], ["1", 3]);
    assert.equal(queue.nextDueAt(), null);
  });

  Deno.test(`${name}.postpone() moves retries as the clock was moved`, async () => {
    await using all = open();
    const { queue, clock } = all;
    await add(all, { summary: "x" });
    await fail(all, taken(queue), 5_000);
    const dueAt = clock.now() + 5_000;
    clock.jump(-3_600_000);
    queue.postpone(-3_600_000);
    // What is added later is stored later.
    await add(all, { integrationKey: "other" });
    assert.equal(queue.nextDueAt(), dueAt - 3_600_000);
    await clock.advance(5_000);
    queue.rescan();
    assert.deepEqual(summaries(queue).sort(), ["Disk full", "x"]);
  });

  Deno.test(`${name}.claimProbe() prefers an integration key that has not failed, then takes every lane in turn`, async () => {
    await using all = open();
    const { queue } = all;
    const names = ["a1", "a2", "b1", "b2"];
    await add(all, ...names.map((summary) => ({ integrationKey: summary.slice(0, 1), summary })));
    await fail(all, taken(queue), 60_000);
    const probe = (failed: string[], paused: string[] = []) => {
      const found = queue.claimProbe((key) => paused.includes(key), new Set(failed));
      if (found !== null) queue.release(found);
      return found?.event.summary ?? null;
    };
    assert.match(probe(["a"]) ?? "", /^b/);
    assert.deepEqual([1, 2, 3, 4].map(() => probe(["a", "b"])).sort(), names);
    assert.deepEqual([1, 2].map(() => probe(["a", "b"], ["b"])).sort(), ["a1", "a2"]);
    assert.equal(probe([], ["a", "b"]), null);
  });

  Deno.test(`${name}.claimProbe() never hands out an event that is being sent`, async () => {
    await using all = open();
    await add(all, {});
    taken(all.queue);
    assert.equal(all.queue.claimProbe(nobody, new Set()), null);
    assert.equal(all.queue.claimProbe(nobody, new Set(["il1api-test-key"])), null);
  });

  Deno.test(`${name}.claimUntried() hands out only what arrived since the last probe, of a key that has not failed`, async () => {
    await using all = open();
    const { queue } = all;
    const untried = (failed: string[], paused: string[] = []) =>
      queue.claimUntried((key) => paused.includes(key), new Set(failed))?.event.summary ?? null;
    await add(all, { integrationKey: "a", summary: "a1" });
    const probe = queue.claimProbe(nobody, new Set(["a"]));
    assert.ok(probe);
    queue.release(probe);
    assert.equal(untried([]), null);
    await add(all, { integrationKey: "a", summary: "a2" }, { integrationKey: "b", summary: "b1" });
    assert.equal(untried(["a"]), "b1");
    await add(all, { integrationKey: "c", summary: "c1" });
    assert.equal(untried([], ["c"]), null);
  });

  Deno.test(`${name}.onAvailable() calls back for a new event and for the next of a lane`, async () => {
    await using all = open();
    const { queue } = all;
    let calls = 0;
    queue.onAvailable(() => calls++);
    await add(all, { alertKey: "lane" }, { alertKey: "lane" });
    await Promise.resolve();
    assert.ok(calls > 0);
    const head = taken(queue);
    calls = 0;
    await queue.settle(head, DELIVERED);
    await Promise.resolve();
    assert.ok(calls > 0);
  });
}

async function add({ add }: QueueUnderContract, ...events: Partial<AlertEvent>[]): Promise<void> {
  await Promise.all(events.map((event) => add(anEvent(event), null)));
}

function taken(queue: WakingQueue): QueuedEvent {
  return queue.claim(nobody) ?? assert.fail("nothing to claim");
}

async function fail({ queue, clock }: QueueUnderContract, claimed: QueuedEvent, delayMs: number) {
  const nextAttemptAt = clock.now() + delayMs;
  await queue.settle(claimed, { kind: "waiting", attempts: 3, nextAttemptAt, lastError: "x" });
}

function summaries(queue: WakingQueue, isPaused: (key: string) => boolean = nobody): string[] {
  const claimed: string[] = [];
  for (let next = queue.claim(isPaused); next !== null; next = queue.claim(isPaused)) {
    claimed.push(next.event.summary);
  }
  return claimed;
}
