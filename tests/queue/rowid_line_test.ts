import assert from "node:assert/strict";
import fc from "fast-check";
import { RowidLine } from "../../src/queue/rowid_line.ts";

Deno.test("RowidLine is an array from which one shifts, for any history", () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constant("push" as const) },
    { weight: 1, arbitrary: fc.constant("unshift" as const) },
    { weight: 3, arbitrary: fc.constant("shift" as const) },
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const line = new RowidLine();
    const model: number[] = [];
    for (const [rowid, what] of steps.entries()) {
      if (what === "shift") assert.equal(line.shift(), model.shift());
      else {
        line[what](rowid);
        model[what](rowid);
      }
      assert.equal(line.length, model.length);
      assert.equal(line.first, model[0] ?? Infinity);
    }
  }));
});

Deno.test("RowidLine keeps its order while thousands pass through it", () => {
  const line = new RowidLine();
  let next = 0;
  for (let rowid = 0; rowid < 20_000; rowid++) {
    line.push(rowid);
    if (rowid % 3 !== 0) assert.equal(line.shift(), next++);
  }
  while (line.length > 0) assert.equal(line.shift(), next++);
  assert.equal(next, 20_000);
});
