import assert from "node:assert/strict";
import fc from "fast-check";
import { assignRanges } from "../../../src/clients/kafka/range_assigner.ts";

Deno.test("assignRanges() gives each member one range of each topic, the first ones one more", () => {
  const assigned = assignRanges(
    new Map([["b", ["t"]], ["a", ["t"]], ["c", ["t"]]]),
    new Map([["t", [3, 0, 1, 2, 6, 5, 4]]]),
  );
  assert.deepEqual(Object.fromEntries(assigned), { a: { t: [0, 1, 2] }, b: { t: [3, 4] }, c: { t: [5, 6] } });
});

Deno.test("assignRanges() gives each partition to exactly one member that subscribes to its topic", () => {
  const topics = fc.uniqueArray(fc.constantFrom<string>("x", "y", "z"));
  const members = fc.dictionary(fc.string({ minLength: 1 }), topics, { minKeys: 1, maxKeys: 6 });
  const counts = fc.record({ x: fc.nat(9), y: fc.nat(9), z: fc.nat(9) });
  fc.assert(fc.property(members, counts, (subscriptions, counts) => {
    const subscribed = Object.entries(counts).filter(([topic]) =>
      Object.values(subscriptions).some((topics) => topics.includes(topic))
    );
    const partitionsOf = new Map(subscribed.map(([topic, count]) => [topic, [...Array(count).keys()]]));
    const assigned = assignRanges(new Map(Object.entries(subscriptions)), partitionsOf);
    for (const [topic, partitions] of partitionsOf) {
      const given = [...assigned].flatMap(([member, assignment]) => {
        const own = assignment[topic] ?? [];
        assert.ok(own.length === 0 || subscriptions[member]?.includes(topic));
        return own;
      });
      assert.deepEqual(given.toSorted((a, b) => a - b), partitions);
    }
  }));
});
