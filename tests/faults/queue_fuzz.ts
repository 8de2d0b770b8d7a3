/** Random histories of a queue, each run on SQLite and on the model. */

import fc from "fast-check";
import { TempFolder } from "../support/temp_folder.ts";
import type { Ending } from "./queue_model.ts";
import { QueueUnderTest } from "./queue_under_test.ts";

/** Integration keys; a set of them is a number of three bits. */
const KEYS = ["a", "b", "c"] as const;
const ENDINGS: readonly Ending[] = ["delivered", "waiting", "dead"];
const HOUR_MS = 3_600_000;
/** More than the queue reads for one key at a time. */
const FLOOD_MIN = 130, FLOOD_MAX = 160;

type Step = (queue: QueueUnderTest) => void | Promise<void>;

/** Named, so that a failing history can be read. */
class Operation {
  constructor(readonly name: string, readonly run: Step) {}

  toString(): string {
    return this.name;
  }
}

function operation<T>(
  name: string,
  given: fc.Arbitrary<T>,
  run: (queue: QueueUnderTest, given: T) => void | Promise<void>,
): fc.Arbitrary<Operation> {
  return given.map((value) =>
    new Operation(`${name}(${JSON.stringify(value)})`, (queue) => run(queue, value))
  );
}

const lane = fc.record({
  key: fc.constantFrom(...KEYS),
  alertKey: fc.option(fc.constantFrom("x", "y"), { freq: 4 }),
});
const keys = fc.integer({ min: 0, max: 7 });
const which = fc.nat(20);

const history = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: operation("enqueue", fc.array(lane, { minLength: 1, maxLength: 4 }), (queue, lanes) => {
        for (const { key, alertKey } of lanes) queue.enqueue(key, alertKey);
      }),
    },
    {
      weight: 1,
      arbitrary: operation("flood", fc.tuple(lane, fc.integer({ min: FLOOD_MIN, max: FLOOD_MAX })), flood),
    },
    {
      weight: 2,
      arbitrary: operation(
        "enqueueUnstorable",
        lane,
        (queue, { key, alertKey }) => queue.enqueueUnstorable(key, alertKey),
      ),
    },
    {
      weight: 10,
      arbitrary: operation(
        "claim",
        fc.tuple(keys, fc.integer({ min: 1, max: 5 })),
        (queue, [paused, times]) => {
          for (let n = 0; n < times; n++) queue.claim((key) => isIn(paused, key));
        },
      ),
    },
    {
      weight: 3,
      arbitrary: operation("probe", fc.tuple(keys, keys), (queue, [paused, failed]) => {
        queue.probe((key) => isIn(paused, key), new Set(KEYS.filter((key) => isIn(failed, key))));
      }),
    },
    {
      weight: 12,
      arbitrary: operation(
        "settle",
        fc.tuple(which, fc.constantFrom(...ENDINGS), fc.nat(60_000)),
        (queue, [number, ending, delayMs]) => queue.settle(number, ending, delayMs),
      ),
    },
    { weight: 3, arbitrary: operation("release", which, (queue, number) => queue.release(number)) },
    { weight: 3, arbitrary: operation("rescan", fc.constant(0), (queue) => queue.rescan()) },
    { weight: 6, arbitrary: operation("settled", fc.constant(0), (queue) => queue.settled()) },
    { weight: 4, arbitrary: operation("advance", fc.nat(90_000), (queue, ms) => queue.clock.advance(ms)) },
    {
      weight: 1,
      arbitrary: operation(
        "jump",
        fc.integer({ min: -HOUR_MS, max: HOUR_MS }),
        (queue, ms) => queue.jump(ms),
      ),
    },
    {
      weight: 3,
      arbitrary: operation(
        "claimAll",
        fc.boolean(),
        (queue, isRescanned) => queue.claimAll({ isRescanned }),
      ),
    },
    { weight: 1, arbitrary: operation("restart", fc.constant(0), (queue) => queue.restart()) },
    { weight: 2, arbitrary: operation("crash", fc.nat(6), (queue, turns) => queue.crash(turns)) },
  ),
  { minLength: 1, maxLength: 40 },
);

/** Throws with the seed and the shortest history it found where queue and model part. */
export async function fuzzQueue(cases: number, seed: number): Promise<void> {
  using folder = new TempFolder();
  let number = 0;
  const property = fc.asyncProperty(history, async (operations) => {
    const path = folder.file(`${++number}.db3`);
    try {
      const queue = new QueueUnderTest(path);
      try {
        for (const { run } of operations) await run(queue);
        await queue.finish();
      } finally {
        await queue[Symbol.asyncDispose]();
      }
    } finally {
      for (const { name } of Deno.readDirSync(folder.path)) Deno.removeSync(folder.file(name));
    }
  });
  await fc.assert(property, { numRuns: cases, seed });
}

function flood(queue: QueueUnderTest, [{ key }, count]: [{ key: string }, number]): void {
  for (let n = 0; n < count; n++) queue.enqueue(key, n % 3 === 0 ? null : `flood-${n}`);
}

function isIn(set: number, key: string): boolean {
  return (set >> KEYS.findIndex((other) => other === key) & 1) === 1;
}
