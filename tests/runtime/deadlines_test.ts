import assert from "node:assert/strict";
import { Deadlines } from "../../src/runtime/deadlines.ts";

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

Deno.test("Deadlines.signal() is shared by what begins together, and aborted when the time is over, never before", async () => {
  using deadlines = new Deadlines(100);
  const outer = new AbortController().signal;
  const at = performance.now();
  const signal = deadlines.signal(outer);
  assert.equal(deadlines.signal(outer), signal);
  await aborted(signal);
  assert.ok(performance.now() - at >= 100);
  assert.notEqual(deadlines.signal(outer), signal);
});

Deno.test("Deadlines.signal() is aborted with the outer signal, and at once where that already is", () => {
  using deadlines = new Deadlines(60_000);
  const outer = new AbortController();
  const other = deadlines.signal(new AbortController().signal);
  const signal = deadlines.signal(outer.signal);
  outer.abort();
  assert.equal(signal.aborted, true);
  assert.equal(deadlines.signal(outer.signal).aborted, true);
  assert.equal(other.aborted, false);
});

Deno.test("Deadlines.within() gives each work a signal of its own, aborted with the outer one or when the time is over", async () => {
  using deadlines = new Deadlines(100);
  const outer = new AbortController();
  const ends: string[] = [];
  const work = (name: string) => async (signal: AbortSignal) => {
    await aborted(signal);
    ends.push(name);
    return signal;
  };
  const cut = deadlines.within(outer.signal, work("cut"));
  const late = deadlines.within(new AbortController().signal, work("late"));
  outer.abort();
  assert.notEqual(await cut, await late);
  assert.deepEqual(ends, ["cut", "late"]);
  const after = await deadlines.within(outer.signal, (signal) => Promise.resolve(signal.aborted));
  assert.equal(after, true);
});
