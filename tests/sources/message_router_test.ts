import assert from "node:assert/strict";
import type { AlertEvent } from "../../src/domain/event.ts";
import type { MappingConfig } from "../../src/domain/mapping_config.ts";
import type { PolicyUpdate } from "../../src/domain/policy_update.ts";
import type { DeadLetter } from "../../src/queue/messages.ts";
import { QueueUnavailable } from "../../src/queue/queue.ts";
import { MessageCounts, type MessageEnd } from "../../src/sources/message_counts.ts";
import { MessageRouter } from "../../src/sources/message_router.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { aMapping } from "../support/mappings.ts";
import { memoryLog } from "../support/memory_log.ts";

const NO_ROOM = () => Promise.reject(new QueueUnavailable("full", 1));

class Setting implements Disposable {
  readonly clock = new FakeClock();
  readonly log = memoryLog();
  readonly counts = new MessageCounts();
  readonly broker = new AbortController();
  readonly pings: string[] = [];
  readonly letters: DeadLetter[] = [];
  readonly updates: PolicyUpdate[] = [];
  /** Summaries of events in the order in which they were taken. */
  readonly taken: string[] = [];
  hasRoom = true;
  /** What a take of an event ends in. */
  take: (event: AlertEvent) => Promise<MessageEnd> = () => Promise.resolve("stored");
  readonly router: MessageRouter;

  constructor(mapping: Partial<MappingConfig> = {}) {
    this.router = new MessageRouter(
      aMapping(mapping),
      {
        events: {
          hasRoom: () => this.hasRoom,
          take: ({ event }) => {
            if (!this.hasRoom) return NO_ROOM();
            this.taken.push(event.summary);
            return this.take(event);
          },
        },
        policies: {
          hasRoom: () => this.hasRoom,
          take: (update) => {
            this.updates.push(update);
            return Promise.resolve("policy");
          },
        },
        letters: {
          hasRoom: () => this.hasRoom,
          bury: (letter) => {
            if (!this.hasRoom) return NO_ROOM();
            this.letters.push(letter);
            return Promise.resolve();
          },
        },
        pings: { ping: (key) => void this.pings.push(key) },
      },
      this.counts,
      { clock: this.clock, log: this.log },
    );
  }

  receive(topic: string, message: unknown, signal = this.broker.signal): { end: string } {
    const text = typeof message === "string" ? message : JSON.stringify(message);
    const result = { end: "pending" };
    this.router.receive({ topic, payload: new TextEncoder().encode(text), key: null }, signal)
      .then(() => result.end = "settled", (error: Error) => result.end = error.message);
    return result;
  }

  event(summary: string, signal?: AbortSignal): { end: string } {
    return this.receive("events", { integrationKey: "k", summary }, signal);
  }

  /** Lets promises run; no timer fires. */
  async turn(): Promise<void> {
    await this.clock.advance(0);
  }

  [Symbol.dispose](): void {
    this.router[Symbol.dispose]();
  }
}

Deno.test("MessageRouter.receive() sends each kind of message its way and counts it", async () => {
  using all = new Setting({ filter: { field: "wanted", value: null } });
  const ends = [
    all.receive("events", { integrationKey: "k", summary: "s", wanted: 1 }),
    all.receive("beats", { apiKey: "il1hbt-1" }),
    all.receive("policies", { team: "t", email: "a@b.c", shift: 2, wanted: 1 }),
    all.receive("events", { integrationKey: "k", summary: "unwanted" }),
    all.receive("events", "not {json"),
  ];
  await all.turn();
  assert.deepEqual(ends.map(({ end }) => end), Array(5).fill("settled"));
  assert.deepEqual(all.taken, ["s"]);
  assert.deepEqual(all.pings, ["il1hbt-1"]);
  assert.deepEqual(all.updates, [{ email: "a@b.c", routingKey: "t", level: 2 }]);
  assert.deepEqual(all.counts.settled, {
    ...{ delivered: 0, stored: 1, heartbeat: 1, policy: 1, filtered: 1, dead_letter: 1, given_back: 0 },
  });
  assert.deepEqual([all.counts.received, all.counts.inFlight], [5, 0]);
});

Deno.test("MessageRouter.receive() makes an unusable message a dead letter with its topic, bytes and reason", async () => {
  using all = new Setting();
  const end = all.receive("events", "not {json");
  await all.turn();
  assert.equal(end.end, "settled");
  const [letter] = all.letters;
  assert.ok(letter?.kind === "message");
  const { payload, ...message } = letter.message;
  assert.deepEqual(message, { broker: "mqtt", topic: "events", key: null });
  assert.deepEqual(payload, new TextEncoder().encode("not {json"));
  assert.match(letter.death.reason, /not JSON/);
  assert.equal(all.log.lines.filter((line) => line.startsWith("warn")).length, 1);
});

Deno.test("MessageRouter.receive() resolves only when the event is settled", async () => {
  using all = new Setting();
  const stored = Promise.withResolvers<MessageEnd>();
  all.take = () => stored.promise;
  const end = all.event("1");
  await all.turn();
  assert.deepEqual([end.end, all.counts.inFlight], ["pending", 1]);
  stored.resolve("stored");
  await all.turn();
  assert.deepEqual([end.end, all.counts.inFlight], ["settled", 0]);
});

Deno.test("MessageRouter.receive() waits where there is no room, and keeps the order of the calls", async () => {
  using all = new Setting();
  all.hasRoom = false;
  const ends = ["1", "2", "3"].map((summary) => all.event(summary));
  await all.clock.advance(10_000);
  ends.push(all.event("4"));
  const beat = all.receive("beats", { apiKey: "h" });
  await all.turn();
  assert.deepEqual([all.taken, beat.end, all.counts.inFlight], [[], "settled", 4]);
  all.hasRoom = true;
  ends.push(all.event("5"));
  await all.turn();
  assert.deepEqual(all.taken, [], "those that wait go first");
  await all.clock.advance(1_000);
  ends.push(all.event("6"));
  await all.turn();
  assert.deepEqual(all.taken, ["1", "2", "3", "4", "5", "6"]);
  assert.deepEqual(ends.map(({ end }) => end), Array(6).fill("settled"));
});

Deno.test("MessageRouter puts what a failing disk refuses back in front of what came after it", async () => {
  using all = new Setting();
  const refusals = [1, 2, 3].map(() => Promise.withResolvers<MessageEnd>());
  let taken = 0;
  all.take = () => refusals[taken++]?.promise ?? Promise.resolve("stored");
  const ends = ["1", "2", "3"].map((summary) => all.event(summary));
  refusals[1]?.reject(new QueueUnavailable("disk", 5));
  await all.turn();
  ends.push(all.event("4"));
  refusals[0]?.reject(new QueueUnavailable("disk", 5));
  refusals[2]?.reject(new QueueUnavailable("disk", 5));
  await all.turn();
  await all.clock.advance(1_000);
  assert.deepEqual(all.taken.slice(3), ["1", "2", "3", "4"]);
  assert.deepEqual(ends.map(({ end }) => end), Array(4).fill("settled"));
});

Deno.test("MessageRouter tries again after an error that should not be, and says so", async () => {
  using all = new Setting();
  let failures = 2;
  all.take = () => failures-- > 0 ? Promise.reject(new Error("a bug")) : Promise.resolve("stored");
  const end = all.event("1");
  await all.clock.advance(5_000);
  assert.equal(end.end, "settled");
  assert.equal(all.log.lines.filter((line) => line.includes("a bug")).length, 2);
});

Deno.test("MessageRouter.receive() rejects what waits when its broker takes it back, and nothing else", async () => {
  using all = new Setting();
  const other = new AbortController();
  all.hasRoom = false;
  const [gone, stays] = [all.event("gone"), all.event("stays", other.signal)];
  await all.turn();
  all.broker.abort(new Error("reconnected"));
  const late = all.event("late");
  await all.turn();
  assert.deepEqual([gone.end, stays.end, late.end], ["reconnected", "pending", "reconnected"]);
  assert.deepEqual([all.counts.settled.given_back, all.counts.inFlight, all.counts.received], [2, 1, 3]);
  all.hasRoom = true;
  await all.clock.advance(1_000);
  assert.deepEqual([all.taken, stays.end], [["stays"], "settled"]);
});

Deno.test("MessageRouter says what of a message was ignored", async () => {
  using all = new Setting();
  all.receive("events", { integrationKey: "k", summary: "s", severity: 9 });
  await all.turn();
  assert.match(all.log.lines.join(), /severity: left out/);
  assert.deepEqual(all.taken, ["s"]);
});

Deno.test("MessageRouter gives a message back that is refused when its broker has taken it back", async () => {
  using all = new Setting();
  const stored = Promise.withResolvers<MessageEnd>();
  all.take = () => stored.promise;
  const end = all.event("1");
  all.broker.abort(new Error("reconnected"));
  stored.reject(new QueueUnavailable("disk", 5));
  await all.turn();
  assert.deepEqual([end.end, all.counts.settled.given_back], ["reconnected", 1]);
});

Deno.test("MessageRouter leaves out warnings beyond the first of a minute and tells their number", async () => {
  using all = new Setting();
  for (let i = 0; i < 1_000; i++) all.receive("events", "no json");
  await all.turn();
  const warnings = () => all.log.lines.filter((line) => line.startsWith("warn"));
  assert.equal(warnings().length, 20);
  await all.clock.advance(61_000);
  all.receive("events", "no json");
  await all.turn();
  assert.match(warnings()[20] ?? "", /"count":980/);
  assert.equal(warnings().length, 22);
});
