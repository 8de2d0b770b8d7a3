import assert from "node:assert/strict";
import type { DeadLetter, QueuedMessage } from "../../src/queue/messages.ts";
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
      keep: () => Promise.resolve(void this.kept.push("to be made")),
      keepRunning: () => Promise.resolve(void this.kept.push("under way")),
    };
    const letters = { bury: (letter: DeadLetter) => Promise.resolve(void this.letters.push(letter)) };
    this.intake = new PolicyIntake(isBuffered, updater, backlog, letters, this.clock);
  }

  take(): { end: string } {
    const result = { end: "pending" };
    this.intake.take(UPDATE, MESSAGE, this.broker.signal)
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
  assert.deepEqual([taken.end, all.kept], ["stored", ["under way"]]);
  all.broker.abort(new Error("reconnected"));
  assert.equal(all.lastSignal?.aborted, false);
});

Deno.test("PolicyIntake.take() goes behind the updates that wait in the file", async () => {
  const all = new Setting();
  all.hasPolicies = true;
  const taken = all.take();
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept, all.updates], ["stored", ["to be made"], 0]);
});

Deno.test("PolicyIntake.take() in buffered mode settles a message when it is durable", async () => {
  const all = new Setting(true);
  const taken = all.take();
  await all.clock.advance(0);
  assert.deepEqual([taken.end, all.kept, all.updates], ["stored", ["to be made"], 0]);
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
