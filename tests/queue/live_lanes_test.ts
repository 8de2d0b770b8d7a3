import assert from "node:assert/strict";
import fc from "fast-check";
import { LiveLanes } from "../../src/queue/live_lanes.ts";

Deno.test("LiveLanes.enter() is true for the first event of a lane until the lane is left", () => {
  const lanes = new LiveLanes();
  assert.equal(lanes.enter("key", "lane"), true);
  assert.equal(lanes.enter("key", "lane"), false);
  lanes.leave("key", "lane");
  lanes.leave("key", "lane");
  assert.equal(lanes.enter("key", "lane"), true);
});

Deno.test("LiveLanes.enter() tells lanes apart by both keys and where one ends", () => {
  const lanes = new LiveLanes();
  for (const [key, alertKey] of [["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"], ["ab", "C"]] as const) {
    assert.equal(lanes.enter(key, alertKey), true, `${key} ${alertKey}`);
  }
  assert.equal(lanes.size, 5);
});

Deno.test("LiveLanes keeps a hundred thousand lanes apart and forgets them again", () => {
  const lanes = new LiveLanes();
  const lane = (n: number) => [`key-${n % 7}`, `alert-${n}`] as const;
  for (let n = 0; n < 100_000; n++) assert.equal(lanes.enter(...lane(n)), true);
  lanes.committed();
  for (let n = 0; n < 100_000; n++) assert.equal(lanes.enter(...lane(n)), false);
  for (let n = 0; n < 100_000; n += 2) lanes.leave(...lane(n));
  for (let n = 0; n < 100_000; n++) assert.equal(lanes.enter(...lane(n)), n % 2 === 0);
  for (let n = 0; n < 100_000; n++) lanes.leave(...lane(n));
  assert.equal(lanes.size, 0);
});

Deno.test("LiveLanes.rolledBack() takes back what has changed since the last commit, and nothing of before", () => {
  const lanes = new LiveLanes();
  lanes.enter("key", "stays");
  lanes.enter("key", "left");
  lanes.committed();
  lanes.enter("key", "never");
  lanes.leave("key", "left");
  lanes.rolledBack();
  assert.deepEqual(["stays", "left", "never"].map((lane) => lanes.enter("key", lane)), [false, false, true]);
});

Deno.test("LiveLanes.found() after clear() counts as committed", () => {
  const lanes = new LiveLanes();
  lanes.enter("key", "gone");
  lanes.committed();
  lanes.clear();
  assert.equal(lanes.found("key", "there"), true);
  assert.equal(lanes.found("key", "there"), false);
  lanes.rolledBack();
  assert.deepEqual(["gone", "there"].map((lane) => lanes.enter("key", lane)), [true, false]);
});

Deno.test("LiveLanes does what a set of lanes does, for any history", () => {
  const step = fc.record({ isEnter: fc.boolean(), lane: fc.nat(3_000) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1_000, maxLength: 4_000 }), (steps) => {
      const lanes = new LiveLanes();
      const model = new Set<string>();
      for (const { isEnter, lane } of steps) {
        const alertKey = `${lane}`;
        if (isEnter) {
          assert.equal(lanes.enter("key", alertKey), !model.has(alertKey));
          model.add(alertKey);
        } else {
          lanes.leave("key", alertKey);
          model.delete(alertKey);
        }
        assert.equal(lanes.size, model.size);
      }
    }),
    { numRuns: 50 },
  );
});
