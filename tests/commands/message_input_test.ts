import assert from "node:assert/strict";
import { readMessage } from "../../src/commands/message_input.ts";

/** Hands out the bytes a few at a time. */
function inputOf(bytes: Uint8Array, atATime: number) {
  let at = 0;
  return {
    read(buffer: Uint8Array): Promise<number | null> {
      const chunk = bytes.subarray(at, at + atATime);
      buffer.set(chunk);
      at += chunk.length;
      return Promise.resolve(chunk.length === 0 ? null : chunk.length);
    },
  };
}

Deno.test("readMessage() joins what comes in pieces", async () => {
  const bytes = Uint8Array.from({ length: 1_000 }, (_, index) => index % 256);
  assert.deepEqual(await readMessage(inputOf(bytes, 7)), bytes);
  assert.deepEqual(await readMessage(inputOf(new Uint8Array(), 7)), new Uint8Array());
});

Deno.test("readMessage() gives up on a message beyond its bound", async () => {
  assert.equal((await readMessage(inputOf(new Uint8Array(10), 4), 10))?.length, 10);
  assert.equal(await readMessage(inputOf(new Uint8Array(11), 4), 10), null);
});
