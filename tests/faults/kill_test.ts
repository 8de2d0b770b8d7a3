import assert from "node:assert/strict";
import { Findings } from "../../scripts/faults/findings.ts";
import { tryKill } from "../../scripts/faults/kill.ts";

Deno.test("twenty kills under load lose nothing, keep the order and repeat only what was in flight", async () => {
  const findings = new Findings();
  const seed = Math.floor(Math.random() * 0x7fffffff);
  await tryKill({ command: "built", seed, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
