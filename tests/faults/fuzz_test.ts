import assert from "node:assert/strict";
import { Findings } from "../../scripts/faults/findings.ts";
import { tryFuzz } from "./fuzz.ts";

Deno.test("generated histories of the queue and anything sent to the intake break no promise", async () => {
  const findings = new Findings();
  const seed = Math.floor(Math.random() * 0x7fffffff);
  await tryFuzz({ command: "built", seed, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
