import assert from "node:assert/strict";
import fc from "fast-check";
import { cursorPositions, firstOddId, isBehind } from "../../src/edge/cursor_positions.ts";

Deno.test("cursorPositions() follows ascending ids, however large", () => {
  assert.deepEqual(cursorPositions(["9", "10", "9007199254740993", "9223372036854775807"], "8", false), [
    "9",
    "10",
    "9007199254740993",
    "9223372036854775807",
  ]);
});

Deno.test("cursorPositions() holds the cursor below what is not settled yet", () => {
  assert.deepEqual(cursorPositions(["5", "3", "7"], "2", false), [null, "5", "7"]);
  assert.deepEqual(cursorPositions(["9", "8", "7"], "2", false), [null, null, "9"]);
  assert.deepEqual(cursorPositions(["3", "9", "5", "6"], "2", false), ["3", null, "5", "9"]);
  assert.deepEqual(cursorPositions(["5", "5", "6"], "2", false), [null, "5", "6"]);
});

Deno.test("cursorPositions() leaves out items without an id", () => {
  assert.deepEqual(cursorPositions([null, "3", null, "4", null], "2", false), [null, "3", null, "4", null]);
  assert.deepEqual(cursorPositions([null, null], "2", false), [null, null]);
});

Deno.test("cursorPositions() does not go back for a straggler, but does where all ids begin anew", () => {
  assert.deepEqual(cursorPositions(["400", "501"], "500", false), [null, "501"]);
  assert.deepEqual(cursorPositions(["1", "2"], "500", false), [null, null]);
  assert.deepEqual(cursorPositions(["1", "2"], "500", true), ["1", "2"]);
  assert.deepEqual(cursorPositions(["2", "1"], "500", true), [null, "2"]);
});

Deno.test("cursorPositions() never passes an unsettled item, and ends at the highest id", () => {
  const anyIds = fc.array(fc.option(fc.bigInt(0n, 60n)), { maxLength: 30 });
  fc.assert(fc.property(anyIds, fc.bigInt(0n, 60n), (values, after) => {
    const ids = values.map((value) => value === null ? null : String(value));
    const positions = cursorPositions(ids, String(after), false);
    const known = values.filter((value) => value !== null);
    positions.forEach((position, at) => {
      if (position === null) return;
      const unsettled = values.slice(at + 1).filter((value) => value !== null);
      assert.ok(
        unsettled.every((value) => value > BigInt(position)),
        `${position} passes one of ${unsettled}`,
      );
    });
    const moves = positions.filter((position) => position !== null).map(BigInt);
    const highest = known.reduce((a, b) => a > b ? a : b, -1n);
    if (highest > after) assert.equal(moves.at(-1), highest);
    assert.deepEqual(moves, [...moves].sort((a, b) => Number(a - b)));
  }));
});

Deno.test("firstOddId() names the first id that does not follow the one before", () => {
  assert.equal(firstOddId(["3", null, "4", "10"], "2"), null);
  assert.equal(firstOddId(["3", "10", "9"], "2"), "9");
  assert.equal(firstOddId(["2"], "2"), "2");
  assert.equal(firstOddId(["5", "5"], "2"), "5");
});

Deno.test("isBehind() is whether all ids that there are are old", () => {
  assert.equal(isBehind(["2", null, "3"], "3"), true);
  assert.equal(isBehind(["2", "4"], "3"), false);
  assert.equal(isBehind([null], "3"), false);
});
