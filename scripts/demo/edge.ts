/** `deno task demo edge`: ilert's alert events reach a webhook and a script, through an outage and a killed leader. */

import { edgePayload } from "../../tests/support/edge_items.ts";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { WebhookTarget } from "../../tests/support/webhook_target.ts";
import { CLUSTER, EdgeAgents, type Member, MEMBERS } from "./edge_agents.ts";
import type { Say } from "./telling.ts";

/** They come in evenly over this time, in turn for each of the alerts. */
const EVENTS = 300, ALERTS = 20, SENDING_MS = 20_000;
const START_MS_MAX = 15_000, OUTAGE_AFTER_MS = 4_000, OUTAGE_MS = 4_000, KILL_AFTER_MS = 5_000;
/** After which ilert lets another agent lead. */
const SILENCE_SECONDS = 6;
const BATCH_ITEMS = 100;
const CHANGE_MS_MAX = 20_000, SETTLING_MS_MAX = 20_000, LOOK_MS = 20;

export async function demoEdge(agents: EdgeAgents, say: Say, signal: AbortSignal): Promise<string[]> {
  const pause = async (ms: number) => {
    await sleep(ms, [signal]);
    signal.throwIfAborted();
  };
  await using ilert = await IlertEmulator.start({
    record: "counts",
    leaderSilenceMs: SILENCE_SECONDS * 1_000,
  });
  await using webhook = await WebhookTarget.start();
  const leader = () => ilert.edge.state().clusters[CLUSTER]?.leader ?? "";
  /** Distinct events at the webhook, and at the script. */
  const delivered = () => new Set(webhook.numbers).size;
  const noted = async () => new Set(await agents.noted()).size;
  const reached = async (isMet: () => boolean | Promise<boolean>, timeoutMs: number) => {
    for (const endsAt = performance.now() + timeoutMs; !await isMet() && performance.now() < endsAt;) {
      await pause(LOOK_MS);
    }
    return await isMet();
  };

  for (const member of MEMBERS) agents.startMember(member, ilert.url, webhook.url);
  await agents.startScripted(ilert.url);
  const feeding = feed(ilert, signal);
  say(`${EVENTS} events of ${ALERTS} alerts begin to come in at an emulated ilert.`);
  if (!await reached(() => delivered() > 0, START_MS_MAX)) return ["no event reached the webhook"];
  say(`Two agents share an edge connection: ${leader()} leads and posts to a webhook, the other stands by.`);
  say("A third one, with a cursor in its own file, has a script run for each event.");

  await pause(OUTAGE_AFTER_MS);
  await webhook.goDown();
  const before = delivered();
  say(`The webhook is away, after ${before} events. The leader stops at the next one, and tries it again.`);
  await pause(OUTAGE_MS);
  webhook.comeBack();
  say(`It is back. Meanwhile the script was given ${await noted()} events.`);
  if (!await reached(() => delivered() > before, CHANGE_MS_MAX)) return ["nothing came after the outage"];
  say("The leader goes on with the event at which it had stopped.");

  await pause(KILL_AFTER_MS);
  const killed = leader() as Member;
  await agents.killMember(killed);
  const killedAt = performance.now();
  say(`${killed} is killed (SIGKILL), after ${delivered()} events.`);
  if (!await reached(() => leader() !== killed, CHANGE_MS_MAX)) return ["nobody took over"];
  const seconds = ((performance.now() - killedAt) / 1_000).toFixed(1);
  say(
    `${leader()} leads now, ${seconds} s later: this ilert waits ${SILENCE_SECONDS} s for a silent leader.`,
  );
  agents.startMember(killed, ilert.url, webhook.url);
  say(`${killed} was started again, and stands by.`);

  await feeding;
  signal.throwIfAborted();
  say("No more events come in; what is left is delivered.");
  await reached(async () => delivered() === EVENTS && await noted() === EVENTS, SETTLING_MS_MAX);
  const exitCodes = await agents.stop();
  const audit = await agents.audit();
  say("The agents were stopped (SIGTERM) and their files audited.");
  return verdictOf({
    webhook: webhook.numbers,
    script: await agents.noted(),
    terms: ilert.edge.state().clusters[CLUSTER]?.leaders ?? [],
    exitCodes,
    audit,
  });
}

async function feed(ilert: IlertEmulator, signal: AbortSignal): Promise<void> {
  for (let n = 1; n <= EVENTS && !signal.aborted; n++) {
    ilert.edge.add(edgePayload(n, n % ALERTS));
    await sleep(SENDING_MS / EVENTS, [signal]);
  }
}

interface Result {
  /** The numbers of the events, as they came. */
  webhook: number[];
  script: number[];
  terms: string[];
  exitCodes: number[];
  audit: { holds: boolean; verdict: string };
}

/** Prints it as a table, and answers with what was wrong. */
function verdictOf({ webhook, script, terms, exitCodes, audit }: Result): string[] {
  const lost = (numbers: number[]) => EVENTS - new Set(numbers).size;
  const repeated = (numbers: number[]) => numbers.length - new Set(numbers).size;
  const overtaken = overtakings(webhook) + overtakings(script);
  const rows: [string, string | number][] = [
    ["events at ilert", EVENTS],
    ["delivered to the webhook", new Set(webhook).size],
    ["delivered to the script", new Set(script).size],
    ["duplicates", `${repeated(webhook)} at the webhook, around the kill; ${repeated(script)} at the script`],
    ["lost", `${lost(webhook)} at the webhook, ${lost(script)} at the script`],
    ["order violations", overtaken],
    ["leaders, in turn", terms.join(", ")],
    ["ilagent audit", audit.verdict],
  ];
  console.log("");
  for (const [name, value] of rows) console.log(`  ${name.padEnd(26)}${value}`);
  return [
    ...lost(webhook) > 0 ? [`${lost(webhook)} events did not reach the webhook`] : [],
    ...lost(script) > 0 ? [`${lost(script)} events did not reach the script`] : [],
    ...repeated(script) > 0 ? [`${repeated(script)} events reached the script twice`] : [],
    ...repeated(webhook) > BATCH_ITEMS ? [`${repeated(webhook)} duplicates are more than one batch`] : [],
    ...overtaken > 0 ? [`${overtaken} events overtook an earlier one of their alert`] : [],
    ...terms.length === 2 ? [] : [`${terms.length} times an agent became leader, instead of twice`],
    ...audit.holds ? [] : ["an agent's audit does not hold"],
    ...exitCodes.every((code) => code === 0) ? [] : [`an agent ended with ${exitCodes} after SIGTERM`],
  ];
}

/** Events that arrived for the first time after a later one of their alert. */
function overtakings(numbers: readonly number[]): number {
  const latest = new Map<number, number>();
  let count = 0;
  for (const number of new Set(numbers)) {
    const before = latest.get(number % ALERTS) ?? 0;
    if (number < before) count++;
    latest.set(number % ALERTS, Math.max(number, before));
  }
  return count;
}
