import assert from "node:assert/strict";
import { tryDamagedFiles } from "../../scripts/faults/damaged_files.ts";
import { tryFullDisk } from "../../scripts/faults/disk_full.ts";
import { Findings } from "../../scripts/faults/findings.ts";
import { tryHeldFiles } from "../../scripts/faults/held_files.ts";
import { tryReadOnly } from "../../scripts/faults/read_only.ts";
import type { Scenario } from "../../scripts/faults/scenario.ts";
import { tryVanishedFiles } from "../../scripts/faults/vanished_files.ts";

const PROMISES: Readonly<Record<string, Scenario>> = {
  "a full disk closes the intake, loses nothing and is over as soon as there is room": tryFullDisk,
  "what cannot be written is refused in one line": tryReadOnly,
  "nothing is acknowledged into a file that is gone": tryVanishedFiles,
  "a damaged file is refused in one line and left as it is, or delivered as far as it goes": tryDamagedFiles,
  "a file that somebody else holds is answered clearly and loses nothing": tryHeldFiles,
};

for (const [promise, scenario] of Object.entries(PROMISES)) {
  Deno.test(promise, async () => {
    const findings = new Findings();
    await scenario({ command: "built", seed: 1, cycles: null, isLong: false }, findings);
    assert.deepEqual(findings.failures, []);
  });
}
