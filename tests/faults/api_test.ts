import assert from "node:assert/strict";
import { tryApi } from "../../scripts/faults/api.ts";
import { Findings } from "../../scripts/faults/findings.ts";

Deno.test("however ilert fails, what was acknowledged arrives or is a dead letter with its status", async () => {
  const findings = new Findings();
  await tryApi({ command: "built", seed: 1, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
