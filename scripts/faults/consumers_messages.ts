/** What messages themselves can do: poison between good ones, and very many at once. */

import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import { hasProcessFigures, peakMegabytes } from "../bench/process_figures.ts";
import type { Feed } from "./consumer_feeds.ts";
import { ConsumerRun } from "./consumer_run.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const GOOD_BETWEEN = 24;
const HUGE_CHARACTERS = 900_000, DEEP_LEVELS = 100_000;
const SETTLED_MS_MAX = 30_000;
const BACKLOG_LONG = 200_000, BACKLOG_SHORT = 4_000, SEND_AT_ONCE = 4_000;
const BACKLOG_MS_MAX = 300_000;

/** Each becomes a dead letter; none of them may come again. */
const POISON: Readonly<Record<string, string | Uint8Array>> = {
  "not JSON": "disk full on db-7",
  "cut off": '{"integrationKey":"il1api-faults","summary":"cut',
  "no object": '["ALERT"]',
  "no key": '{"eventType":"ALERT","summary":"whose?"}',
  "a key that is no text": '{"integrationKey":{"key":1},"summary":"x"}',
  "an unknown type": '{"integrationKey":"il1api-faults","eventType":"PANIC","summary":"x"}',
  "binary": Uint8Array.from({ length: 2_048 }, (_, index) => (index * 97) % 256),
  "zeroes": new Uint8Array(512),
  "empty": "",
  "huge": "x".repeat(HUGE_CHARACTERS),
  "deep": `${"[".repeat(DEEP_LEVELS)}${"]".repeat(DEEP_LEVELS)}`,
  "deep object": `{"integrationKey":"il1api-faults","customDetails":${'{"a":'.repeat(DEEP_LEVELS)}1${
    "}".repeat(DEEP_LEVELS)
  }}`,
};

export async function poison(
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  await using run = await ConsumerRun.of(feed, circumstances);
  const kinds = Object.entries(POISON);
  for (const [what, value] of kinds) {
    await run.send(GOOD_BETWEEN);
    await feed.send([{ key: what, value }]);
  }
  await run.send(GOOD_BETWEEN);
  await run.agent.start();
  await findings.attempt(name, `${kinds.length} kinds are dead letters and hold up nothing`, async () => {
    await run.allArrived();
    await until(async () => (await run.totals()).inFlight === 0, "all are settled", SETTLED_MS_MAX);
    const { settled } = await run.checkTotals();
    assert.equal(settled["dead_letter"], kinds.length);
  });
  await findings.attempt(`${name}.again`, "none comes again after a restart", async () => {
    assert.equal(await run.agent.current.stop(), 0);
    await run.agent.start();
    await run.readyIs(204, SETTLED_MS_MAX);
    const before = await run.totals();
    await run.send(GOOD_BETWEEN);
    await run.allArrived();
    const { received } = await run.totals();
    assert.equal(before.received, 0);
    assert.equal(received, GOOD_BETWEEN);
  });
  await run.settle(findings, name, kinds.length);
}

export async function backlog(
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  await using run = await ConsumerRun.of(feed, circumstances);
  run.ilert.clearFaults();
  const count = circumstances.isLong ? BACKLOG_LONG : BACKLOG_SHORT;
  for (let sent = 0; sent < count; sent += SEND_AT_ONCE) await run.send(SEND_AT_ONCE);
  const startedAt = performance.now();
  await run.agent.start();
  await findings.attempt(name, `${count} messages that waited arrive`, () => run.allArrived(BACKLOG_MS_MAX));
  findings.value(`${name}.rate`, 1_000 * count / (performance.now() - startedAt), "messages/s");
  if (hasProcessFigures()) findings.value(`${name}.rss_peak`, peakMegabytes(run.agent.current.pid), "MB");
  await run.settle(findings, name);
}
