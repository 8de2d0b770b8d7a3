/** What became of every event: the sender's record against the emulated ilert's. */

import type { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { idOf, numberOf, type Sender } from "./sender.ts";

export interface Result {
  accepted: number;
  delivered: number;
  /** The same attempt of the sender, more than once at ilert. */
  agentRepeats: number;
  /** Another attempt of the sender at an event that ilert has. */
  senderRepeats: number;
  alerts: number;
  resolvedAlerts: number;
  lost: number;
  orderViolations: number;
  /** ms from the sender's 200 to the first arrival, ascending. */
  latencies: number[];
}

export function measure(sender: Sender, ilert: IlertEmulator): Result {
  const arrivedAt = new Map<string, number>();
  const attempts = new Set<string>();
  let agentRepeats = 0, senderRepeats = 0;
  for (const { event, at } of ilert.accepted) {
    const id = idOf(event.alertKey, numberOf(event, "sequence"));
    const attempt = `${id} ${numberOf(event, "attempt")}`;
    if (!arrivedAt.has(id)) arrivedAt.set(id, at);
    else if (attempts.has(attempt)) agentRepeats++;
    else senderRepeats++;
    attempts.add(attempt);
  }
  const latencies = [...sender.acceptedAt].flatMap(([id, acceptedAt]) => {
    const at = arrivedAt.get(id);
    // An event can be at ilert before its sender has read the 200.
    return at === undefined ? [] : [Math.max(0, at - acceptedAt)];
  }).sort((a, b) => a - b);
  return {
    accepted: sender.acceptedAt.size,
    delivered: arrivedAt.size,
    agentRepeats,
    senderRepeats,
    alerts: ilert.alerts.length,
    resolvedAlerts: ilert.alerts.filter(({ status }) => status === "RESOLVED").length,
    lost: sender.acceptedAt.size - latencies.length,
    orderViolations: ilert.counts.orderViolations,
    latencies,
  };
}

export function printTable(result: Result, verdict: string): void {
  const { agentRepeats, senderRepeats, latencies } = result;
  const at = (share: number) => duration(latencies[Math.ceil(latencies.length * share) - 1] ?? 0);
  const causes =
    `repeated after an answer was cut off: ${agentRepeats} by the agent, ${senderRepeats} by the sender`;
  const rows: [string, string | number][] = [
    ["accepted (answered 200)", result.accepted],
    ["delivered to ilert", result.delivered],
    ["duplicates at ilert", `${agentRepeats + senderRepeats} (${causes})`],
    ["alerts at ilert", `${result.alerts}, ${result.resolvedAlerts} of them resolved`],
    ["lost", result.lost],
    ["order violations", result.orderViolations],
    ["from accept to arrival", `p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} (the outage is in it)`],
    ["ilagent audit", verdict],
  ];
  console.log("");
  for (const [name, value] of rows) console.log(`  ${name.padEnd(25)}${value}`);
}

function duration(ms: number): string {
  if (ms < 1) return "below 1 ms";
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
