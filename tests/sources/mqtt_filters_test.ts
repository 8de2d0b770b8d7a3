import assert from "node:assert/strict";
import fc from "fast-check";
import { matchesFilter } from "../../src/domain/topics.ts";
import { uncovered } from "../../src/sources/mqtt_filters.ts";

Deno.test("uncovered() leaves out what another filter takes anyway", () => {
  const table: [wide: string, narrow: string][] = [
    ["site/#", "site"],
    ["site/#", "site/a"],
    ["site/#", "site/policy/+"],
    ["site/#", "site/+/hb"],
    ["site/#", "site/a/#"],
    ["site/#", "site/+/#"],
    ["site/+", "site/a"],
    ["site/+", "site/"],
    ["+/+", "/a"],
    ["+/a/+", "x/a/y"],
    ["#", "+/#"],
    ["#", "site/#"],
    ["+", "site"],
    ["$SYS/#", "$SYS/broker/+"],
    ["$share/g/site/#", "$share/g/site/+"],
  ];
  for (const [wide, narrow] of table) {
    assert.deepEqual(uncovered([wide, narrow]), [wide], `${wide} and ${narrow}`);
    assert.deepEqual(uncovered([narrow, wide, narrow]), [wide], `${narrow} and ${wide}`);
  }
  assert.deepEqual(uncovered(["b/1", "a/1", "b/+", "a/1", "b/#", "c"]), ["a/1", "b/#", "c"]);
});

Deno.test("uncovered() leaves in what no single other filter takes as a whole", () => {
  const table: [one: string, other: string][] = [
    ["a/+", "+/b"],
    ["a/+", "a/b/c"],
    ["a/+", "a"],
    ["a/b", "a/B"],
    ["a/b/#", "a/+"],
    ["+/b", "a/#"],
    ["#", "$SYS/#"],
    ["+/x", "$SYS/x"],
    ["site/#", "$share/g/site/a"],
    ["$share/g/site/#", "site/a"],
    ["$share/g/site/#", "$share/h/site/a"],
  ];
  for (const [one, other] of table) {
    assert.deepEqual(uncovered([one, other]), [one, other], `${one} and ${other}`);
  }
});

const level = fc.constantFrom("", "a", "b", "$a");
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const filter = fc.tuple(
  fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 4 }),
  fc.boolean(),
).map(([levels, takesRest]) => (takesRest ? [...levels.slice(1), "#"] : levels).join("/"));

Deno.test("uncovered() takes the topics that all take, and twice changes nothing", () => {
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 4 }), fc.array(topic, { maxLength: 20 }), (filters, topics) => {
      const left = uncovered(filters);
      for (const topic of topics) {
        const takes = (filter: string) => matchesFilter(filter, topic);
        assert.equal(left.some(takes), filters.some(takes), `${topic} by ${left} of ${filters}`);
      }
      assert.deepEqual(uncovered(left), left);
    }),
    { numRuns: 2_000 },
  );
});
