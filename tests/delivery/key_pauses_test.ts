import assert from "node:assert/strict";
import { KeyPauses } from "../../src/delivery/key_pauses.ts";

const CONFIG = { baseMs: 1_000, capMs: 60_000, widthMax: 3 };
const random = () => 1;

Deno.test("KeyPauses.nextEnd() is the earliest of all, whatever their order, until it was told of", () => {
  const pauses = new KeyPauses(CONFIG);
  assert.equal(pauses.nextEnd(), null);
  pauses.paused("b", "1", 3_000, 0, random);
  pauses.paused("a", "2", 2_000, 0, random);
  pauses.paused("c", "3", 5_000, 0, random);
  assert.equal(pauses.nextEnd(), 2_000);
  assert.equal(pauses.ended(1_999), false);
  assert.equal(pauses.ended(2_000), true);
  assert.equal(pauses.ended(2_000), false);
  assert.equal(pauses.nextEnd(), 3_000);
  assert.equal(pauses.pausedCount(2_000), 2);
});

Deno.test("KeyPauses lets one more leave with each success, until the key is free", () => {
  const pauses = new KeyPauses(CONFIG);
  pauses.paused("key", "1", 1_000, 0, random);
  assert.equal(pauses.isPaused("key", 999), true);
  assert.equal(pauses.isPaused("key", 1_000), false);
  pauses.departed("key", "1");
  assert.equal(pauses.isPaused("key", 1_000), true);
  assert.equal(pauses.answered("key", "1", true), true);
  for (const id of ["2", "3"]) pauses.departed("key", id);
  assert.equal(pauses.isPaused("key", 1_000), true);
  assert.equal(pauses.answered("key", "2", true), true);
  assert.equal(pauses.answered("key", "3", true), false);
  for (let n = 0; n < 10; n++) pauses.departed("key", `${n}`);
  assert.equal(pauses.isPaused("key", 1_000), false);
});

Deno.test("KeyPauses pauses longer each time without a Retry-After, and as long as the longest that is asked for", () => {
  const pauses = new KeyPauses(CONFIG);
  assert.deepEqual(pauses.paused("key", "1", null, 0, random), { pauseMs: 1_000, isFirst: true });
  assert.deepEqual(pauses.paused("key", "2", null, 0, random), { pauseMs: 1_000, isFirst: false });
  assert.deepEqual(pauses.paused("key", "3", 4_000, 0, random), { pauseMs: 4_000, isFirst: false });
  assert.deepEqual(pauses.paused("key", "4", 100, 0, random), { pauseMs: 4_000, isFirst: false });
  assert.deepEqual(pauses.paused("key", "1", null, 4_000, random), { pauseMs: 2_000, isFirst: true });
});

Deno.test("KeyPauses.paused() never waits less than its backoff, whatever a Retry-After asks for", () => {
  const pauses = new KeyPauses(CONFIG);
  const lowest = () => 0;
  assert.deepEqual(pauses.paused("key", "1", 0, 0, lowest), { pauseMs: 500, isFirst: true });
  assert.deepEqual(pauses.paused("key", "1", 0, 500, lowest), { pauseMs: 1_000, isFirst: true });
  assert.deepEqual(pauses.paused("key", "1", 300, 1_500, lowest), { pauseMs: 2_000, isFirst: true });
  assert.deepEqual(pauses.paused("key", "1", 9_000, 3_500, lowest), { pauseMs: 9_000, isFirst: true });
});
