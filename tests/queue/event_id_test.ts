import assert from "node:assert/strict";
import { EventIds } from "../../src/queue/event_id.ts";

const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

Deno.test("EventIds.next() makes UUIDs of version 7 that begin with the time", () => {
  const id = new EventIds().next(Date.parse("2026-05-04T10:00:00.123Z"));
  assert.match(id, UUID_7);
  assert.equal(Number.parseInt(id.slice(0, 13).replace("-", ""), 16), Date.parse("2026-05-04T10:00:00.123Z"));
});

Deno.test("EventIds.next() ascends: within a millisecond, beyond what one can count, and when the clock goes back", () => {
  const ids = new EventIds();
  const now = Date.parse("2026-05-04T10:00:00Z");
  const made = [
    ...Array.from({ length: 10_000 }, () => ids.next(now)),
    ...Array.from({ length: 10 }, () => ids.next(now - 3_600_000)),
    ids.next(now + 1_000),
  ];
  for (const id of made) assert.match(id, UUID_7);
  for (let i = 1; i < made.length; i++) {
    assert.ok(made[i - 1]! < made[i]!, `${made[i - 1]} before ${made[i]}`);
  }
});

Deno.test("EventIds.next() of two agents in one millisecond differ", () => {
  const [a, b] = [new EventIds(), new EventIds()];
  const made = new Set(Array.from({ length: 1_000 }, (_, n) => [a.next(n), b.next(n)]).flat());
  assert.equal(made.size, 2_000);
});
