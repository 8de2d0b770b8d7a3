import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { unaccounted } from "../../src/domain/ledger.ts";
import type { MappingConfig } from "../../src/domain/mapping_config.ts";
import { QueueUnavailable } from "../../src/queue/queue.ts";
import type { QueueLimits } from "../../src/queue/bounds.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { MessageBacklog } from "../../src/sources/message_backlog.ts";
import type { PolicyEnd } from "../../src/sources/policy_intake.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { aMapping } from "../support/mappings.ts";
import { memoryLog } from "../support/memory_log.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { createRustDatabase } from "../support/rust_database.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const nobody = () => false;

type Row = [topic: string, payload: unknown];

/** A file that the Rust agent has left, opened. */
class Setting implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly path = this.#folder.file("a.db3");
  readonly clock = new FakeClock();
  readonly log = memoryLog();
  readonly pings: string[] = [];
  readonly updates: string[] = [];
  update: () => Promise<PolicyEnd> = () => Promise.resolve({ kind: "applied" });
  readonly queue: SqliteQueue;
  readonly backlog: MessageBacklog;

  constructor(rows: Row[], mapping: Partial<MappingConfig> = {}, limits: Partial<QueueLimits> = {}) {
    {
      using db = createRustDatabase(this.path);
      const insert = db.prepare("INSERT INTO mqtt_queue (id, topic, payload) VALUES (?, ?, ?)");
      db.exec("BEGIN");
      rows.forEach(([topic, payload], i) =>
        insert.run(`id-${9_999 - i}`, topic, typeof payload === "string" ? payload : JSON.stringify(payload))
      );
      db.exec("COMMIT");
    }
    this.queue = SqliteQueue.open(this.path, { ...ROOMY, ...limits }, this.clock);
    const mappings = { mqtt: aMapping(mapping), kafka: aMapping(mapping, "kafka") };
    const updater = {
      run: ({ email }: { email: string }, signal: AbortSignal) => {
        this.updates.push(email);
        const aborted = new Promise<never>((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason))
        );
        return Promise.race([this.update(), aborted]);
      },
    };
    const pings = { ping: (key: string) => void this.pings.push(key) };
    this.backlog = new MessageBacklog(this.queue.messages, mappings, {
      pings,
      updater,
      clock: this.clock,
      log: this.log,
    });
  }

  summaries(): string[] {
    const found: string[] = [];
    for (let next = this.queue.claim(nobody); next !== null; next = this.queue.claim(nobody)) {
      found.push(next.event.summary);
    }
    return found;
  }

  left(): string[] {
    return this.queue.messages.after(0, 10_000).map(({ topic }) => topic);
  }

  holds(): void {
    assert.equal(unaccounted(this.queue.ledger, this.queue.counts), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.backlog[Symbol.dispose]();
    await this.queue[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

function event(summary: string): Row {
  return ["events", { integrationKey: "k", summary }];
}

Deno.test("MessageBacklog.drain() makes events of what the Rust agent has left, in order, through the mapping", async () => {
  const rows = Array.from({ length: 1_200 }, (_, i) => event(`${i}`));
  await using all = new Setting(rows, { integrationKey: "given" });
  await all.backlog.drain();
  const first = all.queue.claim(nobody);
  assert.deepEqual([first?.event.integrationKey, first?.apiPath], ["given", "/v1/events/mqtt/given"]);
  assert.deepEqual(first?.event.customDetails, { topic: "events" });
  assert.deepEqual([first?.event.summary, ...all.summaries()], rows.map((_, i) => `${i}`));
  assert.deepEqual([all.left(), all.queue.counts], [[], { queued: 1_200, dead: 0 }]);
  all.holds();
});

Deno.test("MessageBacklog.drain() settles every other kind of message too, and the ledger holds", async () => {
  await using all = new Setting([
    ["events", "no json"],
    ["events", { integrationKey: "k", summary: "unwanted" }],
    ["beats", { apiKey: "h" }],
    ["policies", { team: "t", email: "a@b.c", wanted: 1 }],
    ["elsewhere", {}],
  ], { filter: { field: "wanted", value: null } });
  await all.backlog.drain();
  await until(() => all.queue.counts.queued === 1, "all but the unknown topic are settled");
  assert.deepEqual([all.left(), all.pings, all.updates], [["elsewhere"], ["h"], ["a@b.c"]]);
  assert.deepEqual({ ...all.queue.ledger }, { accepted: 5, delivered: 2, purged: 1 });
  assert.equal(all.queue.counts.dead, 1);
  assert.match(all.log.lines.join("\n"), /topics that no flag names.*"count":1/);
  all.holds();
});

Deno.test("MessageBacklog.drain() leaves a policy update in the file until ilert has made it; the events behind it go on", async () => {
  await using all = new Setting([["policies", { team: "t", email: "a@b.c" }], event("behind")]);
  const end = Promise.withResolvers<PolicyEnd>();
  all.update = () => end.promise;
  await all.backlog.drain();
  assert.deepEqual([all.left(), all.summaries(), all.backlog.hasPolicies], [["policies"], ["behind"], true]);
  await all.backlog.drain();
  assert.deepEqual(all.updates, ["a@b.c"]);
  const death = { status: 404, reason: "no such user", responseBody: null, attempts: 1 };
  end.resolve({ kind: "dead", ...death });
  await until(() => !all.backlog.hasPolicies, "the update is settled");
  assert.deepEqual([all.left(), all.queue.counts.dead], [[], 1]);
  all.holds();
});

Deno.test("MessageBacklog breaks policy updates off at the end and leaves their messages in the file", async () => {
  await using all = new Setting([["policies", { team: "t", email: "a@b.c" }]]);
  all.update = () => new Promise(() => {});
  await all.backlog.drain();
  all.backlog[Symbol.dispose]();
  await all.clock.advance(0);
  assert.deepEqual(all.left(), ["policies"]);
});

Deno.test("MessageBacklog makes a hundred policy updates at a time, and all of them in the end", async () => {
  const rows = Array.from({ length: 250 }, (_, i): Row => ["policies", { team: "t", email: `${i}` }]);
  await using all = new Setting(rows);
  const open: PromiseWithResolvers<PolicyEnd>[] = [];
  all.update = () => {
    const end = Promise.withResolvers<PolicyEnd>();
    open.push(end);
    return end.promise;
  };
  await all.backlog.drain();
  assert.equal(all.updates.length, 100);
  await until(() => {
    for (const end of open.splice(0)) end.resolve({ kind: "applied" });
    return all.left().length === 0;
  }, "all are made");
  assert.deepEqual(all.updates, rows.map((_, i) => `${i}`));
  all.holds();
});

Deno.test("MessageBacklog makes no update before those in front of it, however many rows lie between them", async () => {
  const policies = Array.from({ length: 200 }, (_, i): Row => ["policies", { team: "t", email: `${i}` }]);
  // More than one batch, which the disk takes while the first updates end.
  const events = Array.from({ length: 500 }, (_, i) => event(`${i}`));
  await using all = new Setting([...policies.slice(0, 150), ...events, ...policies.slice(150)]);
  await all.backlog.drain();
  await until(() => all.left().length === 0, "all are made");
  assert.deepEqual(all.updates, policies.map((_, i) => `${i}`));
  all.holds();
});

Deno.test("MessageBacklog.drain() goes on with events while dead letters have no room, and buries the rest when they do", async () => {
  await using all = new Setting([["events", "bad 1"], event("good"), ["events", "bad 2"]], {}, {
    deadLettersMax: 1,
  });
  await all.backlog.drain();
  await all.backlog.drain();
  assert.deepEqual([all.left(), all.summaries(), all.queue.counts.dead], [["events"], ["good"], 1]);
  {
    using other = new DatabaseSync(all.path);
    other.exec("BEGIN; DELETE FROM dead_letters; UPDATE ledger SET purged = purged + 1; COMMIT");
  }
  all.queue.noticeChanges();
  await all.backlog.drain();
  assert.deepEqual([all.left(), all.queue.counts.dead], [[], 1]);
  all.holds();
});

Deno.test("MessageBacklog.drain() tries again what the disk refuses, and loses nothing", async () => {
  await using all = new Setting([event("1"), event("2")]);
  using other = new DatabaseSync(all.path);
  other.exec("CREATE TRIGGER refuse BEFORE DELETE ON mqtt_queue BEGIN SELECT RAISE(ABORT, 'no'); END");
  const drained = all.backlog.drain();
  await until(() => all.queue.failure !== null, "the disk refuses");
  assert.deepEqual(all.summaries(), []);
  other.exec("DROP TRIGGER refuse");
  await until(async () => {
    await all.clock.advance(1_000);
    return all.left().length === 0;
  }, "both are events");
  await drained;
  // Without an alert key they have no order; the disk may refuse one and take the other.
  assert.deepEqual(all.summaries().sort(), ["1", "2"]);
  all.holds();
});

Deno.test("MessageBacklog.keep() and keepRunning() make each update once", async () => {
  await using all = new Setting([]);
  const payload = JSON.stringify({ team: "t", email: "kept" });
  const message = { broker: "mqtt", topic: "policies", payload, key: null } as const;
  const running = Promise.withResolvers<PolicyEnd>();
  await all.backlog.keepRunning(message, running.promise);
  assert.equal(all.backlog.hasPolicies, true);
  await all.backlog.keep(message);
  await all.backlog.drain();
  assert.deepEqual(all.updates, ["kept"]);
  running.resolve({ kind: "applied" });
  await until(() => all.left().length === 0 && !all.backlog.hasPolicies, "both are done");
  assert.equal(all.queue.ledger.delivered, 2);
  all.holds();
});

Deno.test("MessageBacklog.hasPolicies is true while a message is on its way into the file", async () => {
  await using all = new Setting([]);
  const payload = JSON.stringify({ team: "t", email: "kept" });
  const keeping = all.backlog.keep({ broker: "mqtt", topic: "policies", payload, key: null });
  assert.equal(all.backlog.hasPolicies, true);
  await keeping;
  assert.equal(all.backlog.hasPolicies, true);
  await until(() => !all.backlog.hasPolicies, "it is made");
  assert.deepEqual(all.updates, ["kept"]);
});

Deno.test("MessageBacklog.keepRunning() refuses where there is no room, and a later pass may take the message", async () => {
  await using all = new Setting([], {}, { eventsMax: 1 });
  const message = { broker: "mqtt", topic: "policies", payload: "{}", key: null } as const;
  await all.backlog.keepRunning(message, new Promise(() => {}));
  await assert.rejects(all.backlog.keepRunning(message, new Promise(() => {})), QueueUnavailable);
  await assert.rejects(all.backlog.keep(message), QueueUnavailable);
  assert.equal(all.left().length, 1);
});

Deno.test("MessageBacklog keeps a message whose update fails as it should not, and says so", async () => {
  await using all = new Setting([["policies", { team: "t", email: "a@b.c", shift: "x" }]]);
  all.update = () => Promise.reject(new Error("a bug"));
  await all.backlog.drain();
  await all.clock.advance(0);
  await all.backlog.drain();
  assert.deepEqual([all.left(), all.updates.length], [["policies"], 1]);
  assert.match(all.log.lines.join("\n"), /given up until the next start.*a bug/);
  assert.match(all.log.lines.join("\n"), /shift: the value at/);
});

Deno.test("MessageBacklog settles an update when the disk takes writes again", async () => {
  await using all = new Setting([["policies", { team: "t", email: "a@b.c" }]]);
  const end = Promise.withResolvers<PolicyEnd>();
  all.update = () => end.promise;
  await all.backlog.drain();
  using other = new DatabaseSync(all.path);
  other.exec("CREATE TRIGGER refuse BEFORE DELETE ON mqtt_queue BEGIN SELECT RAISE(ABORT, 'no'); END");
  end.resolve({ kind: "applied" });
  await until(() => all.queue.failure !== null, "the disk refuses");
  other.exec("DROP TRIGGER refuse");
  await until(async () => {
    await all.clock.advance(1_000);
    return all.left().length === 0;
  }, "it is settled");
  assert.equal(all.queue.ledger.delivered, 1);
});
