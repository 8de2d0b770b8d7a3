import assert from "node:assert/strict";
import { type PolicyEnd, PolicyUpdates } from "../../src/delivery/policy_updates.ts";
import type { Outcome, Retry } from "../../src/domain/outcome.ts";
import type { PolicyUpdate } from "../../src/domain/policy_update.ts";
import { PolicyApi } from "../../src/ilert/policy_api.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { memoryLog } from "../support/memory_log.ts";

const NEVER = new AbortController().signal;
const DELIVERED: Outcome = { kind: "delivered", correlationId: null };
const REJECTED: Outcome = { kind: "rejected", status: 404, reason: "no such user", responseBody: "{}" };

function retry(cause: Retry["cause"], retryAfterMs: number | null = null): Retry {
  return { kind: "retry", cause, status: cause === "unreachable" ? null : 503, reason: cause, retryAfterMs };
}

function update(routingKey: string, email = "a@example.org", level = 0): PolicyUpdate {
  return { routingKey, email, level };
}

/** An ilert that answers as told: `answer` gets the how-manyeth attempt of this e-mail address it is. */
function setting(
  answer: (email: string, attempt: number) => Outcome | Promise<Outcome>,
  retriesMax = 100,
  clock = new FakeClock(),
) {
  const attempts: string[] = [];
  let inFlight = 0;
  const busiest = { inFlight: 0 };
  const apply = async ({ email }: PolicyUpdate) => {
    attempts.push(email);
    busiest.inFlight = Math.max(busiest.inFlight, ++inFlight);
    const outcome = await answer(email, attempts.filter((other) => other === email).length);
    inFlight--;
    return outcome;
  };
  const log = memoryLog();
  const updates = new PolicyUpdates({ apply }, retriesMax, { clock, random: () => 1, log });
  return { attempts, busiest, log, clock, updates };
}

/** Keeps what became of a promise, to be looked at without waiting. */
function watch(end: Promise<PolicyEnd>): { end: PolicyEnd | unknown } {
  const watched: { end: PolicyEnd | unknown } = { end: null };
  end.then((value) => watched.end = value, (error) => watched.end = error);
  return watched;
}

Deno.test("PolicyUpdates.run() resolves once ilert has the update", async () => {
  const { updates, attempts } = setting(() => DELIVERED);
  assert.deepEqual(await updates.run(update("k"), NEVER), { kind: "applied" });
  assert.equal(attempts.length, 1);
});

Deno.test("PolicyUpdates.run() ends a refused update after one attempt, with ilert's answer", async () => {
  const { updates, attempts, log } = setting(() => REJECTED);
  assert.deepEqual(await updates.run(update("k"), NEVER), {
    kind: "dead",
    status: 404,
    reason: "no such user",
    responseBody: "{}",
    attempts: 1,
  });
  assert.equal(attempts.length, 1);
  assert.equal(log.lines.filter((line) => line.startsWith("error")).length, 1);
});

Deno.test("PolicyUpdates.run() tries again with growing pauses after a network error, a 408 and a 5xx", async () => {
  const causes = ["unreachable", "timed_out", "server_error"] as const;
  const { updates, attempts, clock } = setting((_, attempt) => {
    const cause = causes[attempt - 1];
    return cause === undefined ? DELIVERED : retry(cause);
  });
  const watched = watch(updates.run(update("k"), NEVER));
  for (const [ms, expected] of [[0, 1], [499, 1], [1, 2], [999, 2], [1, 3], [1_999, 3], [1, 4]] as const) {
    await clock.advance(ms);
    assert.equal(attempts.length, expected);
  }
  assert.deepEqual(watched.end, { kind: "applied" });
  assert.equal(clock.timers, 0);
});

Deno.test("PolicyUpdates.run() waits as long as a Retry-After asks for, with all updates of the API key", async () => {
  const { updates, attempts, clock } = setting((email, attempt) =>
    email === "limited" && attempt === 1 ? retry("throttled", 30_000) : DELIVERED
  );
  const limited = watch(updates.run(update("a", "limited"), NEVER));
  await clock.advance(0);
  const other = watch(updates.run(update("b", "other"), NEVER));
  await clock.advance(29_999);
  assert.deepEqual(attempts, ["limited"]);
  await clock.advance(1);
  assert.deepEqual([limited.end, other.end], [{ kind: "applied" }, { kind: "applied" }]);
});

Deno.test("PolicyUpdates.run() never lets an update overtake an earlier one of its routing key", async () => {
  const { updates, attempts, clock } = setting((email, attempt) =>
    email === "first" && attempt < 3 ? retry("server_error") : DELIVERED
  );
  const first = watch(updates.run(update("k", "first"), NEVER));
  const second = watch(updates.run(update("k", "second"), NEVER));
  const third = watch(updates.run(update("k", "third", 2), NEVER));
  const stranger = watch(updates.run(update("other", "stranger"), NEVER));
  await clock.advance(0);
  assert.deepEqual(stranger.end, { kind: "applied" });
  assert.equal(second.end, null);
  await clock.advance(60_000);
  assert.deepEqual(attempts.filter((email) => email !== "stranger"), [
    ...["first", "first", "first", "second", "third"],
  ]);
  assert.deepEqual([first.end, second.end, third.end].map((end) => (end as PolicyEnd).kind), [
    ...["applied", "applied", "applied"],
  ]);
});

Deno.test("PolicyUpdates.run() goes on with its routing key after a dead update", async () => {
  const { updates } = setting((email) => email === "bad" ? REJECTED : DELIVERED);
  const ends = await Promise.all(
    ["bad", "good"].map((email) => updates.run(update("k", email), NEVER)),
  );
  assert.deepEqual(ends.map(({ kind }) => kind), ["dead", "applied"]);
});

Deno.test("PolicyUpdates.run() gives up after the allowed retries while ilert answers others", async () => {
  const { updates, attempts, clock, log } = setting(
    (email) => email === "bad" ? retry("server_error") : DELIVERED,
    2,
  );
  const bad = watch(updates.run(update("k", "bad"), NEVER));
  await clock.advance(60_000);
  assert.deepEqual(bad.end, {
    kind: "dead",
    status: 503,
    reason: "gave up: server_error",
    responseBody: null,
    attempts: 3,
  });
  assert.equal(attempts.length, 3);
  assert.ok(log.lines.some((line) => line.startsWith("error")), log.lines.join("\n"));
});

Deno.test("PolicyUpdates.run() makes no dead letter of an outage, however long", async () => {
  let isDown = true;
  const { updates, attempts, clock } = setting(() => isDown ? retry("server_error") : DELIVERED, 10);
  const watched = watch(updates.run(update("k"), NEVER));
  await clock.advance(7_200_000);
  assert.equal(watched.end, null);
  assert.ok(attempts.length > 100, String(attempts.length));
  isDown = false;
  await clock.advance(60_000);
  assert.deepEqual(watched.end, { kind: "applied" });
});

Deno.test("PolicyUpdates.run() never gives up with retries without limit, and a 429 uses up none", async () => {
  for (const [cause, retriesMax] of [["server_error", 0], ["throttled", 1]] as const) {
    const { updates, clock, attempts } = setting(
      (email) => email === "k" ? retry(cause) : DELIVERED,
      retriesMax,
    );
    const watched = watch(updates.run(update("k", "k"), NEVER));
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(60_000);
      if (cause === "server_error") await updates.run(update("other", "other"), NEVER);
    }
    assert.equal(watched.end, null);
    assert.ok(attempts.filter((email) => email === "k").length > 50);
  }
});

Deno.test("PolicyUpdates.run() has at most four attempts under way", async () => {
  const gate = Promise.withResolvers<Outcome>();
  const { updates, busiest, attempts, clock } = setting(() => gate.promise);
  const ends = Array.from({ length: 20 }, (_, index) => updates.run(update(`k${index}`, `${index}`), NEVER));
  await clock.advance(0);
  assert.deepEqual([attempts.length, busiest.inFlight], [4, 4]);
  gate.resolve(DELIVERED);
  assert.ok((await Promise.all(ends)).every(({ kind }) => kind === "applied"));
  assert.deepEqual([attempts.length, busiest.inFlight], [20, 4]);
});

Deno.test("PolicyUpdates.run() leaves a slot free while an update waits for its next attempt", async () => {
  const { updates, clock } = setting((email) => email.startsWith("bad") ? retry("timed_out") : DELIVERED);
  for (let index = 0; index < 8; index++) watch(updates.run(update(`k${index}`, `bad${index}`), NEVER));
  await clock.advance(0);
  assert.deepEqual(await updates.run(update("fine", "fine"), NEVER), { kind: "applied" });
});

Deno.test("PolicyUpdates.run() rejects when its signal is aborted, wherever it is, and leaves nothing behind", async () => {
  const stop = new AbortController();
  const gate = Promise.withResolvers<Outcome>();
  const { updates, clock, attempts } = setting((email) => {
    if (email === "waiting") return retry("server_error");
    return email.startsWith("sent") ? gate.promise : DELIVERED;
  });
  const emails = ["waiting", "behind", "sent1", "sent2", "sent3", "sent4", "no slot"];
  const watched = emails.map((email) => {
    const routingKey = email === "behind" ? "waiting" : email;
    return watch(updates.run(update(routingKey, email), stop.signal));
  });
  await clock.advance(0);
  assert.deepEqual(attempts, ["waiting", "sent1", "sent2", "sent3", "sent4"]);
  stop.abort(new Error("over"));
  gate.resolve(retry("unreachable"));
  await clock.advance(60_000);
  for (const { end } of watched) assert.equal((end as Error).message, "over");
  assert.deepEqual([attempts.length, clock.timers], [5, 0]);
});

Deno.test("PolicyUpdates.run() rejects what is taken back while it waits, before its turn has come", async () => {
  const stop = new AbortController();
  const { updates, attempts } = setting(() => DELIVERED);
  stop.abort(new Error("over"));
  const first = updates.run(update("k"), NEVER);
  const second = watch(updates.run(update("k", "taken back"), stop.signal));
  await first;
  await updates.run(update("k"), NEVER);
  assert.equal((second.end as Error).message, "over");
  assert.equal(attempts.includes("taken back"), false);
});

Deno.test("PolicyUpdates.run() keeps order and slots when some that wait are taken back", async () => {
  const stop = new AbortController();
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<Outcome>());
  const { updates, clock, attempts } = setting((email) => gates[Number(email)]?.promise ?? DELIVERED);
  const ends = gates.map((_, index) => watch(updates.run(update(`k${index}`, `${index}`), NEVER)));
  const behind = watch(updates.run(update("k0", "behind"), stop.signal));
  const last = watch(updates.run(update("k0", "last"), NEVER));
  const noSlot = watch(updates.run(update("a", "no slot"), stop.signal));
  const patient = watch(updates.run(update("b", "patient"), NEVER));
  await clock.advance(0);
  stop.abort(new Error("over"));
  gates[1]?.resolve(DELIVERED);
  await clock.advance(0);
  assert.deepEqual([behind.end, noSlot.end].map((end) => (end as Error).message), ["over", "over"]);
  assert.deepEqual([patient.end, last.end], [{ kind: "applied" }, null]);
  for (const { resolve } of gates) resolve(DELIVERED);
  await clock.advance(0);
  assert.deepEqual([last, ...ends].map(({ end }) => (end as PolicyEnd).kind), Array(5).fill("applied"));
  assert.deepEqual(attempts, ["0", "1", "2", "3", "patient", "last"]);
});

Deno.test("PolicyUpdates.run() takes an attempt that throws for one to be repeated", async () => {
  const { updates, clock } = setting((_, attempt) =>
    attempt === 1 ? Promise.reject(new Error("bug")) : DELIVERED
  );
  const watched = watch(updates.run(update("k"), NEVER));
  await clock.advance(1_000);
  assert.deepEqual(watched.end, { kind: "applied" });
});

Deno.test("PolicyUpdates brings an update through an ilert that limits, fails and hangs up", async () => {
  await using ilert = await IlertEmulator.start({ rawFaults: true });
  ilert.addUser({ id: 7, email: "a@example.org" });
  ilert.addPolicy({ id: 1, routingKey: "k", escalationRules: [{ escalationTimeout: 5, users: [] }] });
  using api = new PolicyApi({ apiHost: ilert.url, apiKey: "x", connections: 4 }, systemClock);
  const deps = { clock: systemClock, random: () => 0, log: memoryLog() };
  const updates = new PolicyUpdates(api, 100, deps);
  ilert.inject({ kind: "status", status: 429, on: "policy", times: 1 });
  ilert.inject({ kind: "status", status: 502, on: "policy", times: 1 });
  ilert.inject({ kind: "reset", on: "policy", times: 1 });
  assert.deepEqual(await updates.run(update("k"), NEVER), { kind: "applied" });
  assert.deepEqual(ilert.policies[0]?.escalationRules, [{ escalationTimeout: 5, users: [{ id: 7 }] }]);
  const unknown = await updates.run(update("k", "nobody@example.org"), NEVER);
  assert.equal(unknown.kind === "dead" && unknown.status, 404);
});
