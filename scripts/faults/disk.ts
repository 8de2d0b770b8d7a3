/** What the agent does when its disk, or its file, is not what it should be. */

import { tryDamagedFiles } from "./damaged_files.ts";
import { tryFullDisk } from "./disk_full.ts";
import type { Findings } from "./findings.ts";
import { tryHeldFiles } from "./held_files.ts";
import { tryReadOnly } from "./read_only.ts";
import type { Circumstances } from "./scenario.ts";
import { tryVanishedFiles } from "./vanished_files.ts";

export async function tryDisk(circumstances: Circumstances, findings: Findings): Promise<void> {
  await tryFullDisk(circumstances, findings);
  await tryReadOnly(circumstances, findings);
  await tryVanishedFiles(circumstances, findings);
  await tryDamagedFiles(circumstances, findings);
  await tryHeldFiles(circumstances, findings);
}
