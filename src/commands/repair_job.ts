/** `ilagent repair` inside the jail. */

import { repair } from "../queue/salvage.ts";
import { printLine } from "../runtime/print.ts";

export interface RepairJob {
  kind: "repair";
  file: string;
  /** Where a corrupt file goes. */
  aside: string;
  json: boolean;
}

/** 0 where nothing is missing, else 1. */
export function repairFile(job: RepairJob): number {
  const { aside, queued, dead, missing } = repair(job.file, job.aside);
  if (job.json) {
    printLine(JSON.stringify({ aside, queued, dead, missing }));
  } else if (aside === null) {
    printLine(`${job.file} is not corrupt; it was left as it is.`);
  } else {
    printLine(`The corrupt file is kept as ${aside}.`);
    printLine(`Saved: ${queued} queued events and ${dead} dead letters.`);
    printLine(
      missing === null ? "How many are missing cannot be told." : `Missing: ${missing} accepted events.`,
    );
  }
  return missing === 0 ? 0 : 1;
}
