import assert from "node:assert/strict";
import { type ByteSink, LineWriter } from "../../src/runtime/line_writer.ts";

class SlowSink implements ByteSink {
  text = "";
  release = () => {};

  async write(bytes: Uint8Array): Promise<number> {
    await new Promise<void>((resolve) => this.release = resolve);
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }
}

Deno.test("LineWriter.write() never waits for a reader that has stalled, drops beyond its bound and says how much", async () => {
  const sink = new SlowSink();
  const writer = new LineWriter(sink);
  const line = "x".repeat(100_000);
  for (let i = 0; i < 30; i++) writer.write(line);
  await writer.flush(1);
  assert.equal(sink.text, "");
  let isDone = false;
  const flushed = writer.flush(10_000).then(() => isDone = true);
  while (!isDone) {
    sink.release();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await flushed;
  const lines = sink.text.trimEnd().split("\n");
  assert.equal(lines.filter((one) => one === line).length, 10);
  assert.equal(lines.at(-1), "ilagent: 20 log writes were dropped because nobody read them");
});

Deno.test("LineWriter.write() survives a reader that is gone", async () => {
  const writer = new LineWriter({ write: () => Promise.reject(new Error("broken pipe")) });
  writer.write("one");
  await writer.flush(1_000);
  writer.write("two");
  await writer.flush(1_000);
});
