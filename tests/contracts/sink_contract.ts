/** What every sink promises (`src/sinks/sink.ts`), to be run against its real target. */

import assert from "node:assert/strict";
import { type EdgeItem, edgeItem } from "../../src/domain/edge_item.ts";
import { parseJson } from "../../src/domain/json.ts";
import type { JsonObject } from "../../src/domain/event.ts";
import type { Sink, SinkOutcome } from "../../src/sinks/sink.ts";
import { edgePayload, numberedItem, numberedItems } from "../support/edge_items.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { until } from "../support/until.ts";

export interface SinkUnderTest extends AsyncDisposable {
  readonly sink: Sink;
  /** The payloads the target has taken so far, in their order, as the text it got. */
  received(): string[] | Promise<string[]>;
  /** Deliveries fail from `begin` on, and go through again after `end`. Null where the target cannot come back. */
  readonly outage: { begin(): Promise<void>; end(): Promise<void> } | null;
  /** The target takes no more and says nothing, from `begin` on. Null where there is no such thing. */
  readonly stall: { begin(): Promise<void>; end(): Promise<void> } | null;
}

/** An aborted delivery ends at once; a loaded machine may need a moment. */
const ABORT_TIMEOUT_MS = 5_000;

const LIVE = new AbortController().signal;

/** Registers the suite with `test`; `open` gives each test a sink and a target of its own. `name` is the class's. */
export function testSinkContract(
  name: string,
  open: () => Promise<SinkUnderTest>,
  test: (name: string, run: () => Promise<void>) => void = Deno.test,
): void {
  test(`${name}.deliver() hands over the payloads in order, and answers with one outcome for each`, async () => {
    await using all = await open();
    const items = numberedItems(1, 2 * all.sink.itemsMax + 1);
    await deliverAll(all.sink, items);
    await assertReceived(all, items);
  });

  test(`${name}.deliver() takes one item alone as well as itemsMax of them`, async () => {
    await using all = await open();
    const first = numberedItem(1);
    const rest = numberedItems(2, all.sink.itemsMax);
    assert.deepEqual(await outcomesOf(all.sink, [first], LIVE), [{ kind: "delivered" }]);
    assert.deepEqual(await outcomesOf(all.sink, rest, LIVE), rest.map(() => ({ kind: "delivered" })));
    await assertReceived(all, [first, ...rest]);
  });

  test(`${name}.deliver() changes nothing in a payload: exact numbers, any script, quotes, line ends, 200 kB`, async () => {
    await using all = await open();
    const exact =
      '{"id":9007199254740993123,"big":1e400,"text":"„Žluťoučký“ \\u0000\\n\\r\\"\\\\ 🚨","list":[]}';
    const items = [
      edgeItem("9223372036854775807", parseJson(exact) as JsonObject),
      numberedItem(2, { details: "x".repeat(200_000) }),
      edgeItem("3", {}),
    ];
    await deliverAll(all.sink, items);
    await assertReceived(all, items);
    assert.match((await all.received())[0] ?? "", /"id":9007199254740993123,"big":1e400,/);
  });

  test(`${name}.deliver() answers an outage with a retry that says why, and delivers once it is over`, async () => {
    await using all = await open();
    if (all.outage === null) return;
    await deliverAll(all.sink, [numberedItem(1)]);
    await all.outage.begin();
    for (let attempt = 0; attempt < 2; attempt++) {
      const outcomes = await outcomesOf(all.sink, numberedItems(2, all.sink.itemsMax), LIVE);
      assert.equal(outcomes.length, 1);
      assertIsRetry(outcomes.at(-1));
    }
    await all.outage.end();
    const items = numberedItems(2, all.sink.itemsMax);
    // A client that reconnects in its own time answers with a retry until it has.
    await until(
      async () => (await outcomesOf(all.sink, items, LIVE)).every(({ kind }) => kind === "delivered"),
      "the sink delivers again",
      60_000,
    );
    await until(async () => (await all.received()).length > items.length, "the target has them");
    const bodies = await all.received();
    assert.deepEqual(bodies.slice(-items.length), items.map(({ body }) => body));
  });

  test(`${name}.deliver() ends with its signal while the target is silent`, async () => {
    await using all = await open();
    if (all.stall === null) return;
    await deliverAll(all.sink, [numberedItem(1)]);
    await all.stall.begin();
    const abort = new AbortController();
    const delivery = outcomesOf(all.sink, stallingItems(all.sink), abort.signal);
    setTimeout(() => abort.abort(), 100);
    assertIsRetry((await withinAbortTime(delivery)).at(-1));
    await all.stall.end();
  });

  test(`${name}.deliver() attempts nothing once its signal is aborted`, async () => {
    await using all = await open();
    await all.stall?.begin();
    const outcomes = await withinAbortTime(outcomesOf(all.sink, [numberedItem(1)], AbortSignal.abort()));
    assert.equal(outcomes.length, 1);
    assertIsRetry(outcomes[0]);
    await all.stall?.end();
    assert.deepEqual(await all.received(), []);
  });

  test(`${name} closes without having delivered, and during an outage`, async () => {
    await (await open())[Symbol.asyncDispose]();
    const all = await open();
    await all.outage?.begin();
    await all[Symbol.asyncDispose]();
  });
}

/** In portions the sink takes; each must settle whole. */
async function deliverAll(sink: Sink, items: readonly EdgeItem[]): Promise<void> {
  for (let at = 0; at < items.length; at += sink.itemsMax) {
    const portion = items.slice(at, at + sink.itemsMax);
    assert.deepEqual(await outcomesOf(sink, portion, LIVE), portion.map(() => ({ kind: "delivered" })));
  }
}

async function assertReceived(all: SinkUnderTest, items: readonly EdgeItem[]): Promise<void> {
  // What needs no acknowledgement may still be under way.
  await until(async () => (await all.received()).length >= items.length, "the target has all of it");
  assert.deepEqual(await all.received(), items.map(({ body }) => body));
}

function assertIsRetry(outcome: SinkOutcome | undefined): void {
  assert.equal(outcome?.kind, "retry", JSON.stringify(outcome));
  assert.ok(outcome.kind === "retry");
  assert.match(outcome.reason, /^[^\n]{5,300}$/);
}

/** More than any buffer on the way to the target takes, so that a silent one is noticed. */
function stallingItems(sink: Sink): EdgeItem[] {
  const details = "x".repeat(1_000_000);
  return Array.from(
    { length: sink.itemsMax },
    (_, at) => edgeItem(`${2 + at}`, { ...edgePayload(at), details }),
  )
    .slice(0, 20);
}

async function withinAbortTime(delivery: Promise<SinkOutcome[]>): Promise<SinkOutcome[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The delivery did not end with its signal")), ABORT_TIMEOUT_MS);
  });
  try {
    return await Promise.race([delivery, late]);
  } finally {
    clearTimeout(timer);
  }
}
