import assert from "node:assert/strict";
import type { DeadLetter, QueuedMessage } from "../../src/queue/messages.ts";
import { QueueUnavailable } from "../../src/queue/queue.ts";
import { type PolicyEnd, PolicyIntake } from "../../src/sources/policy_intake.ts";
import { FakeClock } from "../support/fake_clock.ts";

const UPDATE = { email: "a@b.c", routingKey: "r", level: 0 };
const MESSAGE: QueuedMessage = { broker: "mqtt", topic: "policies", payload: "{}", key: null };
const DEATH = { status: 404, reason: "no such user", responseBody: null, attempts: 1 };

class Setting {
  readonly clock = new FakeClock();
  readonly letters: DeadLetter[] = [];
  readonly kept: string[] = [];
  readonly broker = new AbortController();
  hasPolicies = false;
  hasRoom = true;
  disk = Promise.resolve();
  updates = 0;
  lastSignal: AbortSignal | null = null;
  readonly end = Promise.withResolvers<PolicyEnd>();
  readonly intake: PolicyIntake;

  constructor(isBuffered = false) {
    const updater = {
      run: (_: unknown, signal: AbortSignal) => {
        this.updates++;
        this.lastSignal = signal;
        signal.addEventListener("abort", () => this.end.reject(signal.reason));
        return this.end.promise;
      },
    };
    // deno-lint-ignore no-this-alias
    const setting = this;
    const backlog = {
      get hasPolicies() {
        return setting.hasPolicies;
      },
      keep: ({ topic }: QueuedMessage) => Promise.resolve(void this.kept.push(`${topic} to be made`)),
      keepRunning: async ({ topic }: QueuedMessage) => {
        this.hasPolicies = this.hasRoom;
        if (this.hasRoom) this.kept.push(`${topic} under way`);
        await this.disk;
        if (!this.hasRoom) throw new QueueUnavailable("no room", 1);
      },
    };
    const letters = { bury: (letter: DeadLetter) => Promise.resolve(void this.letters.push(letter)) };
    this.intake = new PolicyIntake(isBuffered, updater, backlog, letters, this.clock);
  }

  take(topic = "policies"): { end: string } {
    const result = { end: "pending" };
    this.intake.take(UPDATE, { ...MESSAGE, topic }, this.broker.signal)
      .then((end) => result.end = end, (error: Error) => result.end = error.message);
    return result;
  }
}

Deno.test("PolicyIntake.take() in direct mode settles a message when ilert has made the update", async () => {
  const all = new Setting();
  const taken = all.take();
  await all.clock.advance(1_000);
  assert.equal(taken.end, "pending");
  all.end.resolve({ kind: "applied" });
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept, all.clock.timers], ["policy", [], 0]);
});

Deno.test("PolicyIntake.take() keeps in the file what ilert does not answer soon, and the update goes on", async () => {
  const all = new Setting();
  const taken = all.take();
  await all.clock.advance(60_000);
  assert.deepEqual([taken.end, all.kept], ["stored", ["policies under way"]]);
  all.broker.abort(new Error("reconnected"));
  assert.equal(all.lastSignal?.aborted, false);
});

Deno.test("PolicyIntake.take() goes behind the updates that wait in the file", async () => {
  const all = new Setting();
  all.hasPolicies = true;
  const taken = all.take();
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept, all.updates], ["stored", ["policies to be made"], 0]);
});

Deno.test("PolicyIntake.take() puts those under way into the file first, in their order, when a later one goes there", async () => {
  const all = new Setting();
  const taken = [all.take("first")];
  await all.clock.advance(3_000);
  taken.push(all.take("second"));
  await all.clock.advance(2_000);
  assert.deepEqual([taken.map(({ end }) => end), all.kept], [["stored", "pending"], ["first under way"]]);
  taken.push(all.take("third"));
  await all.clock.advance(0);
  assert.deepEqual(taken.map(({ end }) => end), ["stored", "stored", "stored"]);
  assert.deepEqual(all.kept, ["first under way", "second under way", "third to be made"]);
  assert.equal(all.clock.timers, 0);
});

Deno.test("PolicyIntake.take() leaves a message with the broker while the file has no room, and makes its update once", async () => {
  const all = new Setting();
  all.hasRoom = false;
  const taken = all.take();
  await all.clock.advance(12_000);
  assert.deepEqual([taken.end, all.kept, all.updates], ["pending", [], 1]);
  all.hasRoom = true;
  await all.clock.advance(5_000);
  assert.deepEqual([taken.end, all.kept, all.updates], ["stored", ["policies under way"], 1]);
});

Deno.test("PolicyIntake.take() in buffered mode settles a message when it is durable", async () => {
  const all = new Setting(true);
  const taken = all.take();
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept, all.updates], ["stored", ["policies to be made"], 0]);
});

Deno.test("PolicyIntake.take() makes an update that failed for good a dead letter", async () => {
  const all = new Setting();
  const taken = all.take();
  all.end.resolve({ kind: "dead", ...DEATH });
  await all.clock.advance(0);
  assert.equal(taken.end, "dead_letter");
  assert.deepEqual(all.letters, [{ kind: "message", message: MESSAGE, death: { kind: "dead", ...DEATH } }]);
});

Deno.test("PolicyIntake.take() breaks the update off when the broker takes its message back", async () => {
  const all = new Setting();
  const taken = all.take();
  await all.clock.advance(0);
  all.broker.abort(new Error("reconnected"));
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept], ["reconnected", []]);
});

Deno.test("PolicyIntake.take() does not break off what is on its way into the file, unless it is refused there", async () => {
  for (const hasRoom of [true, false]) {
    const all = new Setting();
    all.hasRoom = hasRoom;
    const disk = Promise.withResolvers<void>();
    all.disk = disk.promise;
    const taken = all.take();
    await all.clock.advance(5_000);
    all.broker.abort(new Error("reconnected"));
    assert.equal(all.lastSignal?.aborted, false);
    disk.resolve();
    await all.clock.advance(0);
    assert.deepEqual(
      [taken.end, all.lastSignal?.aborted],
      hasRoom ? ["stored", false] : ["reconnected", true],
    );
    assert.equal(all.clock.timers, 0);
  }
});
