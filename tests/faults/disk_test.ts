import assert from "node:assert/strict";
import { tryDisk } from "../../scripts/faults/disk.ts";
import { Findings } from "../../scripts/faults/findings.ts";

Deno.test("a full, read-only, vanished, damaged or held file is answered clearly and loses nothing", async () => {
  const findings = new Findings();
  await tryDisk({ command: "built", seed: 1, cycles: null, isLong: false }, findings);
  assert.deepEqual(findings.failures, []);
});
