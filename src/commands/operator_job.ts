/** `ilagent queue` and `ilagent deadletter` inside the jail. */

import { openForCommand } from "../queue/database.ts";
import { type Item, Operator, type Selection, type Shelf } from "../queue/operator.ts";
import { printLine, reportLine } from "../runtime/print.ts";
import { redactKey } from "../runtime/redact.ts";

export interface OperatorJob {
  kind: "operator";
  file: string;
  shelf: Shelf;
  action: string;
  selection: Selection;
  limit: number;
  json: boolean;
}

/** 1 where ids were given and not all of them were found, or some could not be retried. */
export function operate(job: OperatorJob): number {
  using database = openForCommand(job.file, isReading(job.action) ? "read" : "write");
  const operator = new Operator(database.db);
  const { shelf, action, selection } = job;
  switch (action) {
    case "list":
      return list(job, operator.find(shelf, selection, job.limit, false));
    case "show":
      return show(job, operator.find(shelf, selection, selection.ids.length, true));
    case "drop":
      return changed(job, "dropped", operator.dropQueued(selection));
    case "purge":
      return changed(job, "purged", operator.purgeDead(selection));
    case "retry": {
      if (shelf === "queue") {
        const what =
          "due now, but for those whose integration key ilert limits: they wait for the end of its pause";
        return changed(job, what, operator.retryQueued(selection));
      }
      const { retried, refused } = operator.retryDead(selection);
      for (const { id, reason } of refused) reportLine(`${id} cannot be queued again: ${reason}`);
      return Math.max(changed(job, "queued again", retried), refused.length > 0 ? 1 : 0);
    }
    default:
      throw new Error(`No such action: ${action}`);
  }
}

function isReading(action: string): boolean {
  return action === "list" || action === "show";
}

function list({ json, limit, shelf }: OperatorJob, items: Item[]): number {
  if (json) {
    printLine(JSON.stringify(items));
    return 0;
  }
  for (const item of items) printLine(shelf === "queue" ? queuedLine(item) : deadLine(item));
  if (items.length === limit) printLine(`(the first ${limit}; --limit N shows more)`);
  if (items.length === 0) {
    printLine(shelf === "queue" ? "No such event is queued." : "No such dead letter.");
  }
  return 0;
}

function show({ json, selection }: OperatorJob, items: Item[]): number {
  if (json) printLine(JSON.stringify(items));
  else {
    for (const item of items) {
      for (const [name, value] of Object.entries(item)) printLine(`${name.padEnd(16)} ${value ?? ""}`);
      printLine("");
    }
  }
  return reportMissing(selection, items.length);
}

function changed({ json, selection }: OperatorJob, what: string, count: number): number {
  printLine(json ? JSON.stringify({ count }) : `${count} ${what}`);
  return reportMissing(selection, count);
}

function reportMissing({ ids }: Selection, found: number): number {
  if (found >= ids.length) return 0;
  reportLine(`${ids.length - found} of ${ids.length} ids were not found or did not match the filter`);
  return 1;
}

function queuedLine(item: Item): string {
  if (item.topic !== undefined) {
    return `${item.id}  ${item.accepted_at}  message of ${item.source} topic ${item.topic}`;
  }
  const failed = item.last_error === null ? "" : `  attempt ${Number(item.attempts) + 1}: ${item.last_error}`;
  return `${item.id}  ${item.accepted_at}  ${keysOf(item)}  ${item.event_type}  ${item.summary}${failed}`;
}

function deadLine(item: Item): string {
  return `${item.id}  ${item.accepted_at}  ${originOf(item)}  ${item.reason}, ${item.attempts} attempts`;
}

function originOf(item: Item): string {
  if (item.source === "edge") return `item ${item.item_id ?? item.id} of the edge connector`;
  return item.integration_key === null ? `message of ${item.source} topic ${item.topic}` : keysOf(item);
}

function keysOf(item: Item): string {
  const key = typeof item.integration_key === "string" ? redactKey(item.integration_key) : "-";
  return `${key}  ${item.alert_key ?? "-"}`;
}
