import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { unaccounted } from "../../src/domain/ledger.ts";
import type { Death, QueuedMessage } from "../../src/queue/messages.ts";
import { payloadOfText, textOfPayload } from "../../src/queue/payload_text.ts";
import { QueueUnavailable } from "../../src/queue/queue.ts";
import type { QueueLimits } from "../../src/queue/bounds.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { createRustDatabase } from "../support/rust_database.ts";
import { TempFolder } from "../support/temp_folder.ts";

const DEATH: Death = { status: 404, reason: "no such user", responseBody: "{}", attempts: 1 };
const nobody = () => false;

function opened(limits: Partial<QueueLimits> = {}, prepare: (path: string) => void = () => {}) {
  const folder = new TempFolder();
  const path = folder.file("a.db3");
  prepare(path);
  const clock = new FakeClock();
  const queue = SqliteQueue.open(path, { ...ROOMY, ...limits }, clock);
  return {
    queue,
    messages: queue.messages,
    clock,
    holds: () => assert.equal(unaccounted(queue.ledger, queue.counts), 0),
    /** As another program reads it. */
    rows(table: string) {
      using reader = new DatabaseSync(path, { readOnly: true });
      return reader.prepare(`SELECT * FROM ${table} ORDER BY rowid`).all();
    },
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function aMessage(overrides: Partial<QueuedMessage> = {}): QueuedMessage {
  return { broker: "mqtt", topic: "t", payload: "{}", key: null, ...overrides };
}

Deno.test("MessageStore.after() finds what the Rust agent left, in its order, and counts it as accepted once", async () => {
  const write = (path: string) => {
    using db = createRustDatabase(path);
    const insert = db.prepare("INSERT INTO mqtt_queue (id, topic, payload) VALUES (?, ?, ?)");
    for (const id of ["z", "a", "m"]) insert.run(id, `topic/${id}`, `{"n":"${id}"}`);
    db.exec("UPDATE mqtt_queue SET inserted_at = '2026-05-04 09:59:00.250' WHERE id = 'z'");
    db.exec("UPDATE mqtt_queue SET inserted_at = 'long ago' WHERE id = 'a'");
  };
  await using all = opened({}, write);
  const [first, ...others] = all.messages.after(0, 10);
  assert.deepEqual(first, {
    ...{ id: "z", place: 1, broker: "mqtt", topic: "topic/z", key: null, payload: '{"n":"z"}' },
    acceptedAt: Date.parse("2026-05-04T09:59:00.250Z"),
  });
  assert.deepEqual(others.map(({ id }) => id), ["a", "m"]);
  assert.equal(others[0]?.acceptedAt, 0);
  assert.deepEqual(all.messages.after(2, 1).map(({ id }) => id), ["m"]);
  assert.deepEqual([all.messages.oldestAcceptedAt(), all.messages.count()], [first?.acceptedAt, 3]);
  assert.deepEqual([all.queue.ledger.accepted, all.queue.counts.queued], [3, 3]);
  all.holds();
});

Deno.test("MessageStore.settle() moves a message to the events of the queue, with its time, in one transaction", async () => {
  await using all = opened();
  const kept = await all.messages.keep(crypto.randomUUID(), aMessage());
  assert.deepEqual(all.messages.after(0, 10), [kept]);
  await all.clock.advance(60_000);
  const event = anEvent({ alertKey: "lane" });
  await all.messages.settle(kept, { kind: "event", event, apiPath: "/v1/events/mqtt/k" });
  const claimed = all.queue.claim(nobody);
  assert.deepEqual(claimed, {
    id: kept.id,
    event,
    apiPath: "/v1/events/mqtt/k",
    attempts: 0,
    acceptedAt: kept.acceptedAt,
  });
  assert.deepEqual([all.rows("mqtt_queue").length, all.queue.counts.queued], [0, 1]);
  all.holds();
});

Deno.test("MessageStore.settle() puts the event of a message behind those of its lane", async () => {
  await using all = opened();
  for (const summary of ["first", "second"]) {
    const kept = await all.messages.keep(crypto.randomUUID(), aMessage());
    const event = anEvent({ alertKey: "lane", summary });
    await all.messages.settle(kept, { kind: "event", event, apiPath: "/v1/events/mqtt/k" });
  }
  const first = all.queue.claim(nobody) ?? assert.fail("nothing to claim");
  assert.deepEqual([first.event.summary, all.queue.claim(nobody)], ["first", null]);
  await all.queue.settle(first, { kind: "delivered" });
  assert.equal(all.queue.claim(nobody)?.event.summary, "second");
});

Deno.test("MessageStore.settle() counts each end in the ledger", async () => {
  await using all = opened();
  const [a, b, c] = [
    await all.messages.keep(crypto.randomUUID(), aMessage()),
    await all.messages.keep(crypto.randomUUID(), aMessage()),
    await all.messages.keep(crypto.randomUUID(), aMessage()),
  ];
  assert.deepEqual(all.queue.counts, { queued: 3, dead: 0 });
  await all.messages.settle(a, { kind: "delivered" });
  await all.messages.settle(b, { kind: "dropped" });
  await all.messages.settle(c, { kind: "dead", death: DEATH });
  assert.deepEqual({ ...all.queue.ledger }, { accepted: 3, delivered: 1, purged: 1 });
  assert.deepEqual(all.queue.counts, { queued: 0, dead: 1 });
  assert.equal(all.messages.oldestAcceptedAt(), null);
  all.holds();
});

Deno.test("MessageStore.settle() leaves alone what an operator has removed meanwhile", async () => {
  await using all = opened();
  const kept = await all.messages.keep(crypto.randomUUID(), aMessage());
  await all.messages.settle(kept, { kind: "dropped" });
  await all.messages.settle(kept, { kind: "event", event: anEvent(), apiPath: "/p" });
  assert.equal(all.queue.claim(nobody), null);
  assert.deepEqual({ ...all.queue.ledger }, { accepted: 1, delivered: 0, purged: 1 });
  all.holds();
});

Deno.test("MessageStore.bury() keeps a message with topic, payload and reason, counted as accepted", async () => {
  await using all = opened();
  const message = aMessage({
    broker: "kafka",
    topic: "events",
    key: "k1",
    payload: new TextEncoder().encode("not {json"),
  });
  await all.messages.bury({ kind: "message", message, death: DEATH });
  const [letter] = all.rows("dead_letters");
  const { id: _, ...rest } = letter ?? {};
  assert.deepEqual(rest, {
    source: "kafka",
    topic: "events",
    message_key: "k1",
    payload: "not {json",
    integration_key: null,
    alert_key: null,
    event_api_path: null,
    item_id: null,
    edge_connection: null,
    status: 404,
    reason: "no such user",
    response_body: "{}",
    attempts: 1,
    accepted_at: "2026-05-04T10:00:00.000Z",
    died_at: "2026-05-04T10:00:00.000Z",
  });
  assert.deepEqual([all.queue.ledger.accepted, all.queue.counts.dead], [1, 1]);
  all.holds();
});

Deno.test("MessageStore.bury() keeps an event that was never in the queue as one that can be retried", async () => {
  await using all = opened();
  const event = anEvent({ alertKey: "db", summary: "s" });
  const origin = { apiPath: "/v1/events/mqtt/k", topic: "t", acceptedAt: all.clock.now() - 5_000 };
  await all.messages.bury({ kind: "event", event, ...origin, death: DEATH });
  const [letter] = all.rows("dead_letters");
  assert.deepEqual(
    [
      letter?.source,
      letter?.integration_key,
      letter?.alert_key,
      letter?.event_api_path,
      letter?.topic,
      letter?.accepted_at,
    ],
    ["event", event.integrationKey, "db", "/v1/events/mqtt/k", "t", "2026-05-04T09:59:55.000Z"],
  );
  assert.equal(JSON.parse(String(letter?.payload)).summary, "s");
  all.holds();
});

Deno.test("MessageStore refuses at the bounds and stores nothing", async () => {
  await using all = opened({ eventsMax: 1, deadLettersMax: 1 });
  const kept = await all.messages.keep(crypto.randomUUID(), aMessage());
  await assert.rejects(all.messages.keep(crypto.randomUUID(), aMessage()), QueueUnavailable);
  await all.messages.bury({ kind: "message", message: aMessage(), death: DEATH });
  await assert.rejects(
    all.messages.bury({ kind: "message", message: aMessage(), death: DEATH }),
    QueueUnavailable,
  );
  await assert.rejects(all.messages.settle(kept, { kind: "dead", death: DEATH }), QueueUnavailable);
  assert.deepEqual(all.queue.counts, { queued: 1, dead: 1 });
  all.holds();
});

Deno.test("MessageStore keeps any payload so that it can be read as text and recovered byte by byte", async () => {
  await using all = opened();
  const bytes = new Uint8Array([0, 255, 1, 2]);
  await all.messages.keep(crypto.randomUUID(), aMessage({ payload: bytes }));
  await all.messages.keep(crypto.randomUUID(), aMessage({ payload: new TextEncoder().encode("grüße") }));
  const [binary, text] = all.messages.after(0, 2);
  assert.deepEqual(binary?.payload, bytes);
  assert.equal(text?.payload, "grüße");
  assert.equal(all.rows("mqtt_queue")[0]?.payload, "data:application/octet-stream;base64,AP8BAg==");
});

Deno.test("textOfPayload() and payloadOfText() give back the same bytes", () => {
  const bytesOf = (payload: Uint8Array | string) =>
    typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const special = fc.constantFrom("\uFEFF{}", "data:application/octet-stream;base64,AA==", "a\0b", "");
  const payload = fc.oneof(fc.uint8Array(), fc.string({ unit: "grapheme" }), special);
  fc.assert(fc.property(payload, (payload) => {
    const text = textOfPayload(payload);
    assert.ok(!text.includes("\0"));
    assert.deepEqual([...bytesOf(payloadOfText(text))], [...bytesOf(payload)]);
  }));
  // As text it would not be JSON any more; as bytes it is.
  assert.deepEqual(payloadOfText(textOfPayload("\uFEFF{}")), new TextEncoder().encode("\uFEFF{}"));
  assert.equal(
    payloadOfText("data:application/octet-stream;base64,%%%"),
    "data:application/octet-stream;base64,%%%",
  );
});
