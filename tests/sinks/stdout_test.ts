import assert from "node:assert/strict";
import type { ByteSink } from "../../src/runtime/line_writer.ts";
import { StdoutSink } from "../../src/sinks/stdout.ts";
import { testSinkContract } from "../contracts/sink_contract.ts";
import { numberedItem, numberedItems } from "../support/edge_items.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";

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

function stdoutSink() {
  const output = new Output();
  let closed = 0;
  const sink = new StdoutSink(output, () => closed++);
  return {
    output,
    sink,
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
