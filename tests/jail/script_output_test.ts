import assert from "node:assert/strict";
import { ScriptOutput } from "../../src/jail/script_output.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** What is kept of one stream that comes in these chunks. */
function kept(...chunks: string[]) {
  const output = new ScriptOutput();
  const stream = output.stream();
  for (const chunk of chunks) stream.take(bytes(chunk));
  stream.end();
  return { lines: output.lines, droppedBytes: output.droppedBytes };
}

Deno.test("ScriptOutput joins lines across chunks, leaves out empty ones and keeps a last one without its newline", () => {
  assert.deepEqual(kept("on", "e\n\ntw", "o\r\n", "  \nthree"), {
    lines: ["one", "two", "three"],
    droppedBytes: 0,
  });
});

Deno.test("ScriptOutput joins a character that comes in two chunks", () => {
  const output = new ScriptOutput();
  const stream = output.stream();
  for (const byte of bytes("Žluť 🚨\n")) stream.take(Uint8Array.of(byte));
  assert.deepEqual(output.lines, ["Žluť 🚨"]);
});

Deno.test("ScriptOutput does not mix the lines of two streams", () => {
  const output = new ScriptOutput();
  const [out, err] = [output.stream(), output.stream()];
  out.take(bytes("out"));
  err.take(bytes("err\n"));
  out.take(bytes("put\n"));
  assert.deepEqual(output.lines, ["err", "output"]);
});

Deno.test("ScriptOutput cuts a long line, marks it and counts the rest", () => {
  assert.deepEqual(kept("x".repeat(1_500) + "\nnext\n"), {
    lines: ["x".repeat(1_000) + "…", "next"],
    droppedBytes: 500,
  });
});

Deno.test("ScriptOutput keeps 200 lines and counts the bytes of the rest", () => {
  const { lines, droppedBytes } = kept("line\n".repeat(1_000), "end");
  assert.equal(lines.length, 200);
  assert.equal(droppedBytes, 800 * 5 + 3);
});

Deno.test("ScriptOutput keeps 64 kB of both streams together and counts the rest", () => {
  const output = new ScriptOutput();
  const streams = [output.stream(), output.stream()];
  for (let n = 0; n < 50; n++) for (const stream of streams) stream.take(bytes("x".repeat(999) + "\n"));
  for (const stream of streams) stream.end();
  const keptBytes = output.lines.reduce((sum, line) => sum + line.replace("…", "").length + 1, 0);
  assert.ok(keptBytes <= 65_536 + 1 && keptBytes > 65_000, String(keptBytes));
  assert.ok(Math.abs(keptBytes + output.droppedBytes - 100_000) <= 1, String(output.droppedBytes));
});

Deno.test("ScriptOutput lets nothing through that would change a terminal or forge a line of the log", () => {
  assert.deepEqual(kept("a\u001b[2Jb\u0000c\td\rERROR forged\n").lines, [
    "a\ufffd[2Jb\ufffdc\td\ufffdERROR forged",
  ]);
});
