import assert from "node:assert/strict";
import { tryEdge } from "../../scripts/faults/edge.ts";
import { Findings } from "../../scripts/faults/findings.ts";

Deno.test("whatever breaks around the edge connector, every item is delivered in order or kept, and few come twice", async () => {
  const findings = new Findings();
  const seed = Math.floor(Math.random() * 0x7fffffff);
  await tryEdge({ command: "built", seed, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
