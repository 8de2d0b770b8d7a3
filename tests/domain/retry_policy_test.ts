import assert from "node:assert/strict";
import fc from "fast-check";
import {
  backoffBoundMs,
  nextAttemptAt,
  parseRetryAfter,
  RETRY_AFTER_MAX_MS,
} from "../../src/domain/retry_policy.ts";

const policy = { baseMs: 500, capMs: 60_000, retriesMax: 100 };

Deno.test("nextAttemptAt() stays between now and the cap for any number of failures and any luck", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (failures, luck) => {
        const at = nextAttemptAt(failures, 1_000, policy, () => luck);
        assert.ok(at !== null && at >= 1_000 && at <= 1_000 + policy.capMs);
      },
    ),
  );
});

Deno.test("nextAttemptAt() doubles its bound up to the cap", () => {
  const bounds = [1, 2, 3, 7, 8, 100].map((failures) => backoffBoundMs(failures, policy));
  assert.deepEqual(bounds, [500, 1_000, 2_000, 32_000, 60_000, 60_000]);
});

Deno.test("nextAttemptAt() gives up after the retries are used, and never where they are unlimited", () => {
  assert.notEqual(nextAttemptAt(100, 0, policy, () => 1), null);
  assert.equal(nextAttemptAt(101, 0, policy, () => 1), null);
  assert.notEqual(nextAttemptAt(100_000, 0, { ...policy, retriesMax: 0 }, () => 1), null);
});

Deno.test("parseRetryAfter() reads seconds and HTTP dates, and nothing else", () => {
  const now = Date.parse("2026-05-04T10:00:00Z");
  assert.equal(parseRetryAfter("7", now), 7_000);
  assert.equal(parseRetryAfter("Mon, 04 May 2026 10:00:30 GMT", now), 30_000);
  assert.equal(parseRetryAfter("Mon, 04 May 2026 09:00:00 GMT", now), 0);
  for (const nothing of [null, "", "soon", "-5", "1.5e"]) {
    assert.equal(parseRetryAfter(nothing, now), null, `${nothing}`);
  }
});

Deno.test("parseRetryAfter() does not park an event beyond the maximum", () => {
  assert.equal(parseRetryAfter("999999999", 0), RETRY_AFTER_MAX_MS);
  assert.equal(parseRetryAfter("Fri, 31 Dec 9999 23:59:59 GMT", 0), RETRY_AFTER_MAX_MS);
});
