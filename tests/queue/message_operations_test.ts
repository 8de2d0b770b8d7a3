import assert from "node:assert/strict";
import { unaccounted } from "../../src/domain/ledger.ts";
import { openForCommand } from "../../src/queue/database.ts";
import { Operator, type Selection } from "../../src/queue/operator.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { anEvent } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

const ALL: Selection = { ids: [], key: null, acceptedBefore: null, status: null };
const DEATH = { status: null, reason: "the message is not JSON", responseBody: null, attempts: 0 };

/** An agent's queue with messages, and an operator beside it. */
class Setting implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #path = this.#folder.file("a.db3");
  readonly clock = new FakeClock();
  readonly queue = SqliteQueue.open(this.#path, ROOMY, this.clock);
  readonly #database = openForCommand(this.#path, "write");
  readonly operator = new Operator(this.#database.db);

  async keep(topic: string): Promise<string> {
    const message = { broker: "kafka", topic, payload: `{"of":"${topic}"}`, key: "k" } as const;
    return (await this.queue.messages.keep(crypto.randomUUID(), message)).id;
  }

  async bury(payload: string | Uint8Array): Promise<string> {
    const message = { broker: "kafka", topic: "events", payload, key: "k1" } as const;
    await this.queue.messages.bury({ kind: "message", message, death: DEATH });
    return String(this.operator.find("deadletter", ALL, 1, false)[0]?.id);
  }

  holds(): void {
    this.queue.noticeChanges();
    assert.equal(unaccounted(this.queue.ledger, this.queue.counts), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database[Symbol.dispose]();
    await this.queue[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

Deno.test("Operator.retryDead() puts a message back as it was, with its age, behind the others", async () => {
  await using all = new Setting();
  const payload = new Uint8Array([0, 255, 1]);
  const id = await all.bury(payload);
  const acceptedAt = all.clock.now();
  await all.clock.advance(60_000);
  await all.keep("first");
  assert.deepEqual(all.operator.retryDead(ALL), { retried: 1, refused: [] });
  const [, retried] = all.queue.messages.after(0, 10);
  assert.deepEqual(retried, {
    ...{ id, place: 2, broker: "kafka", topic: "events", key: "k1", payload, acceptedAt },
  });
  all.holds();
  assert.deepEqual(all.queue.counts, { queued: 2, dead: 0 });
});

Deno.test("Operator.find() shows messages of the queue and of the dead letters with their topics", async () => {
  await using all = new Setting();
  await all.queue.enqueue(anEvent({ summary: "an event" }), null);
  const id = await all.keep("t");
  const [message, event] = all.operator.find("queue", ALL, 10, false);
  assert.deepEqual({ ...message }, {
    ...{ id, accepted_at: "2026-05-04 10:00:00.000", source: "kafka", topic: "t", message_key: "k" },
  });
  assert.equal(event?.summary, "an event");
  assert.equal(all.operator.find("queue", { ...ALL, ids: [id] }, 10, true)[0]?.payload, '{"of":"t"}');
  assert.equal(all.operator.find("queue", ALL, 1, false).length, 1);
  await all.bury("x");
  assert.equal(all.operator.find("deadletter", ALL, 10, false)[0]?.topic, "events");
});

Deno.test("Operator.dropQueued() and retryQueued() concern messages by id and age, not by key", async () => {
  await using all = new Setting();
  const old = await all.keep("old");
  await all.clock.advance(60_000);
  const young = await all.keep("young");
  const topics = () => all.queue.messages.after(0, 10).map(({ topic }) => topic);
  assert.equal(all.operator.retryQueued({ ...ALL, ids: [young] }), 1);
  assert.equal(all.operator.dropQueued({ ...ALL, key: "k" }), 0);
  assert.equal(all.operator.dropQueued({ ...ALL, acceptedBefore: "2026-05-04T10:00:30.000Z" }), 1);
  assert.deepEqual(topics(), ["young"]);
  assert.equal(all.operator.dropQueued({ ...ALL, ids: [old, young] }), 1);
  all.holds();
  assert.deepEqual([all.queue.ledger.purged, all.queue.counts.queued], [2, 0]);
});

Deno.test("SqliteQueue.noticeChanges() tells whether another process has changed the file", async () => {
  await using all = new Setting();
  await all.keep("t");
  assert.equal(all.queue.noticeChanges(), false);
  all.operator.dropQueued(ALL);
  assert.equal(all.queue.noticeChanges(), true);
  assert.equal(all.queue.noticeChanges(), false);
});
