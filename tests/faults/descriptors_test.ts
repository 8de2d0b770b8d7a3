import assert from "node:assert/strict";
import { tryDescriptors } from "../../scripts/faults/descriptors.ts";
import { Findings } from "../../scripts/faults/findings.ts";

Deno.test("out of file descriptors, deliveries go on, and once there are some the intake is back", async () => {
  const findings = new Findings();
  await tryDescriptors({ command: "built", seed: 1, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
