import assert from "node:assert/strict";
import type { QueueLimits } from "../../src/queue/bounds.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { troublesOf } from "../../src/relay/figures.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

/** With five events, one of them a dead letter. */
async function troublesWith(limits: Partial<QueueLimits>): Promise<string[]> {
  using folder = new TempFolder();
  await using queue = SqliteQueue.open(folder.file("a.db3"), { ...ROOMY, ...limits }, new FakeClock());
  for (let n = 0; n < 5; n++) await queue.enqueue(anEvent(), null);
  const claimed = queue.claim(() => false) ?? assert.fail();
  const dead = { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null } as const;
  await queue.settle(claimed, dead);
  return [...troublesOf(queue, 1)].map(([name, sentence]) => `${name}: ${sentence}`);
}

Deno.test("troublesOf() says which bound is near", async () => {
  assert.deepEqual(await troublesWith({}), []);
  assert.deepEqual(await troublesWith({ eventsMax: 5, deadLettersMax: 10 }), [
    "queue-full: ilagent's queue (--queue_max_events) is 80% full.",
  ]);
  assert.deepEqual(await troublesWith({ eventsMax: 10, deadLettersMax: 1 }), [
    "queue-full: ilagent's store of dead letters (--dead_letter_max) is 100% full.",
  ]);
  assert.match(
    (await troublesWith({ bytesMax: 80_000 }))[0] ?? "",
    /ilagent's file \(--queue_max_bytes\) is \d+% full/,
  );
});

Deno.test("troublesOf() tells of dead letters beyond those that were there before", async () => {
  using folder = new TempFolder();
  await using queue = SqliteQueue.open(folder.file("a.db3"), ROOMY, new FakeClock());
  assert.deepEqual([...troublesOf(queue, 0)], []);
  await queue.enqueue(anEvent(), null);
  const claimed = queue.claim(() => false) ?? assert.fail();
  await queue.settle(claimed, { kind: "dead", attempts: 1, status: 400, reason: "r", responseBody: null });
  assert.deepEqual([...troublesOf(queue, 1)], []);
  assert.deepEqual([...troublesOf(queue, 0).keys()], ["dead-letters"]);
});
