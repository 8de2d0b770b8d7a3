import assert from "node:assert/strict";
import { Breaker } from "../../src/delivery/breaker.ts";
import type { Outcome, Retry } from "../../src/domain/outcome.ts";

const DELIVERED: Outcome = { kind: "delivered", correlationId: null };

function failed(cause: Retry["cause"]): Outcome {
  return { kind: "retry", cause, status: null, reason: cause, retryAfterMs: null };
}

function opened(): Breaker {
  const breaker = new Breaker();
  for (const key of ["a", "b", "c"]) breaker.record(failed("unreachable"), key, false, 1_000);
  assert.equal(breaker.isOpen, true);
  return breaker;
}

Deno.test("Breaker opens after 3 failed connections or 5 5xx answers in a row, and says why", () => {
  for (const [cause, times] of [["unreachable", 3], ["server_error", 5]] as const) {
    const breaker = new Breaker();
    for (let n = 1; n < times; n++) assert.equal(breaker.record(failed(cause), "key", false, n), null);
    assert.deepEqual([breaker.openSince, breaker.nextProbeAt, breaker.failedKeys.size], [null, null, 0]);
    assert.deepEqual(breaker.record(failed(cause), "key", false, 9), { kind: "opened", reason: cause });
    assert.deepEqual([breaker.openSince, breaker.nextProbeAt, [...breaker.failedKeys]], [9, 9, ["key"]]);
  }
});

Deno.test("Breaker does not open where a success, or a refusal, comes between", () => {
  for (
    const answer of [DELIVERED, { kind: "rejected", status: 400, reason: "no", responseBody: "" } as const]
  ) {
    const breaker = new Breaker();
    for (let n = 0; n < 10; n++) {
      assert.equal(breaker.record(failed("unreachable"), "key", false, n), null);
      assert.equal(breaker.record(failed("unreachable"), "key", false, n), null);
      assert.equal(breaker.record(answer, "key", false, n), null);
    }
  }
});

Deno.test("Breaker has one probe at a time, a second apart, or two where the answers are 5xx", () => {
  const breaker = opened();
  for (const [cause, apart] of [["unreachable", 1_000], ["server_error", 2_000]] as const) {
    breaker.startProbe();
    assert.equal(breaker.nextProbeAt, null);
    assert.equal(breaker.record(failed(cause), "d", true, 5_000), null);
    assert.equal(breaker.nextProbeAt, 5_000 + apart);
  }
  assert.deepEqual([...breaker.failedKeys], ["c", "d"]);
});

Deno.test("Breaker leaves a probe under way while others that were sent before it fail", () => {
  const breaker = opened();
  breaker.startProbe();
  breaker.record(failed("unreachable"), "late", false, 2_000);
  assert.equal(breaker.nextProbeAt, null);
});

Deno.test("Breaker probes again after a 429 or 408, which close and open nothing", () => {
  for (const cause of ["throttled", "timed_out"] as const) {
    const breaker = opened();
    breaker.startProbe();
    assert.equal(breaker.record(failed(cause), "other", false, 2_000), null);
    assert.equal(breaker.nextProbeAt, null);
    assert.equal(breaker.record(failed(cause), "probed", true, 2_000), null);
    assert.deepEqual([breaker.isOpen, breaker.nextProbeAt], [true, 3_000]);
    assert.ok(!breaker.failedKeys.has("probed"));
  }
});

Deno.test("Breaker closes with the first success, whichever event's, and forgets its probe", () => {
  const breaker = opened();
  breaker.startProbe();
  assert.deepEqual(breaker.record(DELIVERED, "sent before", false, 2_000), { kind: "closed" });
  assert.equal(breaker.isOpen, false);
  assert.equal(breaker.record(failed("timed_out"), "probed", true, 2_000), null);
  breaker.startProbe();
  assert.equal(breaker.nextProbeAt, null);
});
