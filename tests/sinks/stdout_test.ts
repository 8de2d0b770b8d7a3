import assert from "node:assert/strict";
import type { ByteSink } from "../../src/runtime/line_writer.ts";
import { StdoutSink } from "../../src/sinks/stdout.ts";
import { testSinkContract } from "../contracts/sink_contract.ts";
import { numberedItem, numberedItems } from "../support/edge_items.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { until } from "../support/until.ts";

const LIVE = new AbortController().signal;

/** A stream that takes a few bytes at a time, and stalls or fails when told to. */
class Output implements ByteSink {
  text = "";
  error: Error | null = null;
  failAfter = Infinity;
  #stalled = Promise.resolve();
  #go = () => {};

  async write(bytes: Uint8Array): Promise<number> {
    await this.#stalled;
    if (this.error !== null && this.failAfter <= 0) throw this.error;
    const taken = bytes.subarray(0, Math.min(10_000, this.failAfter));
    this.failAfter -= taken.length;
    this.text += new TextDecoder().decode(taken);
    return taken.length;
  }

  stall(): void {
    this.#stalled = new Promise((resolve) => this.#go = resolve);
  }

  go(): void {
    this.#go();
  }

  fail(error: Error, afterBytes = 0): void {
    this.error = error;
    this.failAfter = afterBytes;
  }

  recover(): void {
    this.error = null;
    this.failAfter = Infinity;
  }
}

/** `kept` is what earlier runs have left on disk. */
function stdoutSink(output = new Output(), kept = { output: "" }, name = "8:15") {
  const clock = new FakeClock();
  const stalls: (number | null)[] = [];
  let closed = 0;
  const sink = new StdoutSink(output, name, {
    onClosed: () => closed++,
    onStalled: (ms) => stalls.push(ms),
    openLine: { get: () => kept.output, set: (output) => kept.output = output },
    clock,
  });
  return {
    output,
    sink,
    clock,
    kept,
    stalls,
    closed: () => closed,
    received: () => output.text.split("\n").slice(0, -1),
    outage: {
      begin: () => Promise.resolve(output.fail(new Deno.errors.BrokenPipe("Broken pipe (os error 32)"))),
      end: () => Promise.resolve(output.recover()),
    },
    stall: { begin: () => Promise.resolve(output.stall()), end: () => Promise.resolve(output.go()) },
    async [Symbol.asyncDispose]() {
      output.go();
      await sink[Symbol.asyncDispose]();
    },
  };
}

testSinkContract("StdoutSink", () => Promise.resolve(stdoutSink()));

Deno.test("StdoutSink.deliver() says when the reader has closed the pipe", async () => {
  await using all = stdoutSink();
  await all.outage.begin();
  assert.deepEqual(await outcomesOf(all.sink, [numberedItem(1)], LIVE), [
    { kind: "retry", reason: "stdout cannot be written: Broken pipe" },
  ]);
  assert.equal(all.closed(), 1);
});

Deno.test("StdoutSink.deliver() ends a line that broke off before it prints it again", async () => {
  await using all = stdoutSink();
  const items = numberedItems(1, 2);
  all.output.fail(new Error("No space left on device (os error 28)"), 20);
  assert.deepEqual(await outcomesOf(all.sink, items, LIVE), [
    { kind: "retry", reason: "stdout cannot be written: No space left on device" },
  ]);
  all.output.recover();
  await outcomesOf(all.sink, items, LIVE);
  assert.deepEqual(all.received().slice(1), items.map(({ body }) => body));
  assert.equal(all.closed(), 0);
});

Deno.test("StdoutSink.deliver() waits for the write that an aborted delivery left behind", async () => {
  await using all = stdoutSink();
  all.output.stall();
  const abort = new AbortController();
  const first = outcomesOf(all.sink, [numberedItem(1)], abort.signal);
  // Once the write is under way; what was not begun is not printed.
  await new Promise((resolve) => setTimeout(resolve, 0));
  abort.abort();
  await first;
  const second = outcomesOf(all.sink, [numberedItem(2)], LIVE);
  all.output.go();
  assert.deepEqual(await second, [{ kind: "delivered" }]);
  assert.deepEqual(all.received(), [numberedItem(1).body, numberedItem(2).body]);
});

/** Longer than what is written together. */
const LONG = numberedItem(1, { details: "x".repeat(60_000) });

Deno.test("StdoutSink.deliver() writes whole lines, many at a time while the reader keeps up, else what a pipe takes whole", async () => {
  await using all = stdoutSink();
  const writes: string[] = [];
  all.output.write = (bytes) => {
    writes.push(new TextDecoder().decode(bytes));
    return Promise.resolve(bytes.length);
  };
  const bytesOf = () => writes.splice(0).map(({ length }) => length);
  // More at a time while the reader keeps up.
  await outcomesOf(all.sink, numberedItems(1, 100));
  const [first = 0, second = 0, ...others] = bytesOf();
  assert.ok(first <= 4_096 && second > 4_096 && second <= 8_192 && others.length <= 2, `${first} ${second}`);
  await outcomesOf(all.sink, [...numberedItems(2, 60), LONG, numberedItem(63)]);
  assert.equal(writes.slice(1, 3).join(""), LONG.body + "\n");
  assert.equal(writes.length, 4);

  writes.length = 0;
  all.output.write = async (bytes) => {
    writes.push(new TextDecoder().decode(bytes));
    await all.clock.advance(50);
    return bytes.length;
  };
  await outcomesOf(all.sink, numberedItems(1, 100));
  assert.ok(bytesOf().slice(1).every((bytes) => bytes <= 4_096));
});

Deno.test("StdoutSink.deliver() has not delivered what a pipe may still hold when its reader closes it", async () => {
  await using all = stdoutSink();
  const items = Array.from({ length: 100 }, (_, at) => numberedItem(at, { details: "x".repeat(3_000) }));
  all.output.fail(new Deno.errors.BrokenPipe("Broken pipe (os error 32)"), 200_000);
  const outcomes = await outcomesOf(all.sink, items);
  const delivered = outcomes.filter(({ kind }) => kind === "delivered").length;
  assert.equal(outcomes.at(-1)?.kind, "retry");
  const bytes = items.slice(0, delivered + 1).reduce((sum, { body }) => sum + body.length + 1, 0);
  assert.ok(
    delivered > 0 && bytes <= 200_000 - 65_536 + 2 * 4_096 && bytes > 200_000 - 65_536 - 2 * 32_768,
    `${bytes}`,
  );
});

Deno.test("StdoutSink.deliver() tells what was read while the rest waits, and all that is written when it is aborted", async () => {
  await using all = stdoutSink();
  const abort = new AbortController();
  const items = Array.from({ length: 100 }, (_, at) => numberedItem(at, { details: "x".repeat(3_000) }));
  const write = all.output.write.bind(all.output);
  all.output.write = (bytes) => {
    if (all.output.text.length > 150_000) all.output.stall();
    return write(bytes);
  };
  const kinds: string[] = [];
  const delivery = (async () => {
    for await (const { kind } of all.sink.deliver(items, abort.signal, () => true)) kinds.push(kind);
  })();
  await until(() => all.output.text.length > 150_000 && kinds.length > 20, "the reader has stalled");
  assert.ok(kinds.length < all.received().length);
  abort.abort();
  await delivery;
  assert.deepEqual(kinds, [...all.received().map(() => "delivered"), "retry"]);
});

Deno.test("StdoutSink.deliver() asks before each further write whether to go on", async () => {
  await using all = stdoutSink();
  let writes = 0;
  const outcomes = await outcomesOf(all.sink, numberedItems(1, 100), LIVE, () => ++writes < 2);
  assert.ok(outcomes.length > 2 && outcomes.length < 100, `${outcomes.length}`);
  assert.equal(all.received().length, outcomes.length);
});

for (const [what, name, start] of [["the same", "8:15", "\n"], ["another", "8:16", ""]] as const) {
  Deno.test(`StdoutSink, after a run that was killed in the middle of a line, begins with '${start}' on ${what} output`, async () => {
    const output = new Output();
    const kept = { output: "" };
    output.write = (bytes) => {
      output.text += new TextDecoder().decode(bytes.subarray(0, 5_000));
      return new Promise(() => {});
    };
    void outcomesOf(stdoutSink(output, kept).sink, [LONG]);
    await until(() => output.text !== "", "the line is begun");

    const next = new Output();
    await using all = stdoutSink(next, kept, name);
    await outcomesOf(all.sink, [numberedItem(2)]);
    await all.clock.advance(1_000);
    assert.equal(next.text, start + numberedItem(2).body + "\n");
    assert.equal(kept.output, "");
  });
}

Deno.test("StdoutSink forgets long lines that it has ended, after a second or when it closes, and begins none that it cannot note", async () => {
  const kept = { output: "" };
  const before = stdoutSink(new Output(), kept);
  await outcomesOf(before.sink, [LONG]);
  assert.equal(kept.output, "8:15");
  await before[Symbol.asyncDispose]();
  assert.equal(kept.output, "");

  await using all = stdoutSink();
  await outcomesOf(all.sink, [LONG]);
  await all.clock.advance(1_000);
  assert.equal(all.kept.output, "");
  Object.defineProperty(all.kept, "output", {
    set: () => {
      throw new Error("disk I/O error");
    },
  });
  assert.deepEqual(await outcomesOf(all.sink, [LONG]), [
    { kind: "retry", reason: "stdout cannot be written: disk I/O error" },
  ]);
  assert.deepEqual(all.received(), [LONG.body]);
});

Deno.test("StdoutSink.deliver() waits for a full pipe that does not block, and goes on from the byte reached", async () => {
  await using all = stdoutSink();
  const write = all.output.write.bind(all.output);
  let writes = 0;
  all.output.write = (bytes) => {
    const isFull = ++writes % 2 === 0;
    return isFull ? Promise.reject(new Deno.errors.WouldBlock()) : write(bytes.subarray(0, 9_000));
  };
  const delivery = outcomesOf(all.sink, [LONG, numberedItem(2)]);
  await all.clock.advance(1_000);
  assert.deepEqual(await delivery, [{ kind: "delivered" }, { kind: "delivered" }]);
  assert.deepEqual(all.received(), [LONG.body, numberedItem(2).body]);
});

Deno.test("StdoutSink.deliver() begins a new line where it cannot know how much of many a full pipe has taken", async () => {
  await using all = stdoutSink();
  const write = all.output.write.bind(all.output);
  all.output.write = async (bytes) => {
    if (bytes.length <= 4_096) return await write(bytes);
    await write(bytes.subarray(0, 50));
    throw new Deno.errors.WouldBlock("Resource temporarily unavailable (os error 11)");
  };
  const items = numberedItems(1, 100);
  const outcomes = await outcomesOf(all.sink, items);
  assert.equal(outcomes.at(-1)?.kind, "retry");
  const delivered = outcomes.length - 1;
  await outcomesOf(all.sink, items.slice(delivered));
  const bodies = items.map(({ body }) => body);
  assert.deepEqual(all.received(), bodies.toSpliced(delivered, 0, bodies[delivered]?.slice(0, 50) ?? ""));
});

Deno.test("StdoutSink.deliver() says when nobody has read for 10 s, and when somebody does again", async () => {
  await using all = stdoutSink();
  all.output.stall();
  const delivery = outcomesOf(all.sink, [numberedItem(1)]);
  await all.clock.advance(9_999);
  assert.deepEqual(all.stalls, []);
  await all.clock.advance(60_000);
  assert.deepEqual(all.stalls, [10_000]);
  all.output.go();
  assert.deepEqual(await delivery, [{ kind: "delivered" }]);
  assert.deepEqual(all.stalls, [10_000, null]);
  assert.equal(all.clock.timers, 0);
});
