import assert from "node:assert/strict";
import fc from "fast-check";
import { decompressLz4 } from "../../../src/clients/kafka/lz4.ts";
import { decompressSnappy } from "../../../src/clients/kafka/snappy.ts";

/** Batches of real producers are read in `tests/sources/kafka_test.ts`; here what those hardly ever write. */

const BYTES_MAX = 1_000_000;

Deno.test("decompressSnappy() reads a bare block: literals and copies of each form, one that overlaps itself", () => {
  const packed = [
    ...[27, 4 << 2, ...text("abcde")], // 27 bytes in all; a literal of 5
    ...[0b000_000_01 | (1 << 2), 5], // 5 bytes from 5 back
    ...[(6 - 1) << 2 | 2, 1, 0], // 6 bytes from 1 back: it reaches into itself
    ...[(5 - 1) << 2 | 3, 16, 0, 0, 0], // 5 bytes from 16 back
    ...[60 << 2, 5, ...text("vwxyz!")], // a literal whose length, 6, is in a byte of its own
  ];
  assert.equal(asText(decompressSnappy(Uint8Array.from(packed), BYTES_MAX)), "abcdeabcdeeeeeeeabcdevwxyz!");
});

Deno.test("decompressSnappy() refuses what is damaged or claims to be too large", () => {
  const copyFromNowhere = [5, 1 << 2 | 1, 9];
  const tooShort = [9, 0, 65];
  const literalBeyondTheEnd = [5, 4 << 2, 65];
  const longerThanItIs = [...XERIAL, 255, 255, 255, 255, 1, 0];
  for (
    const packed of [[], longerThanItIs, copyFromNowhere, tooShort, literalBeyondTheEnd, [
      255,
      255,
      255,
      255,
      255,
      255,
    ]]
  ) {
    assert.throws(() => decompressSnappy(Uint8Array.from(packed), BYTES_MAX), /Snappy data is damaged/);
  }
  assert.throws(() => decompressSnappy(Uint8Array.from([0x80, 0x80, 0x80, 0x01]), BYTES_MAX), /too large/);
});

Deno.test("decompressLz4() reads stored blocks, and skips sizes and checksums", () => {
  const stored = [3, 0, 0, 0x80, ...text("abc"), 9, 9, 9, 9];
  const packed = frame(0x10 | 0x08 | 0x04, [0, 0, 0, 0, 0, 0, 0, 0], [...stored, 0, 0, 0, 0, 8, 8, 8, 8]);
  assert.equal(asText(decompressLz4(packed, BYTES_MAX)), "abc");
});

Deno.test("decompressLz4() reads long literals, and matches that reach into themselves and into earlier blocks", () => {
  const literals = "0123456789abcdef";
  const first = [0xf0 | 15, 1, ...text(literals), 1, 0, 1, 0x10, 33]; // 16 literals; 20 from 1 back; 1 literal
  const second = [0x05, 37, 0, 0x10, 46]; // 9 bytes from 37 back: the first ones of the first block; 1 literal
  const packed = frame(0, [], [...block(first), ...block(second), 0, 0, 0, 0]);
  const expected = `${literals}${"f".repeat(20)}!${literals.slice(0, 9)}.`;
  assert.equal(asText(decompressLz4(packed, BYTES_MAX)), expected);
});

Deno.test("decompressLz4() refuses what is damaged or becomes too large", () => {
  const matchFromNowhere = frame(0, [], [...block([0x00, 1, 0]), 0, 0, 0, 0]);
  const noEnd = frame(0, [], [3, 0, 0, 0x80, 65, 66, 67]);
  const beyondTheEnd = frame(0, [], [9, 0, 0, 0x80, 65]);
  for (
    const packed of [
      new Uint8Array(0),
      Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      matchFromNowhere,
      noEnd,
      beyondTheEnd,
    ]
  ) {
    assert.throws(() => decompressLz4(packed, BYTES_MAX), /LZ4 data is damaged/);
  }
  // 1 literal, then 255 · 5,000 times the same.
  const bomb = [0x1f, 65, 1, 0, ...Array(5_000).fill(255), 0, 0x10, 66];
  assert.throws(() => decompressLz4(frame(0, [], [...block(bomb), 0, 0, 0, 0]), BYTES_MAX), /too large/);
});

Deno.test("decompressSnappy() and decompressLz4() end, and keep their bounds, whatever the bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (
      const run of [
        () => decompressSnappy(bytes, 1_000),
        () => decompressSnappy(Uint8Array.from([...XERIAL, ...bytes]), 1_000),
        () => decompressLz4(Uint8Array.from([...frame(0, [], []), ...bytes]), 1_000),
        () => decompressLz4(frame(0, [], [...block([...bytes]), 0, 0, 0, 0]), 1_000),
      ]
    ) {
      try {
        assert.ok(run().length <= 1_000);
      } catch (error) {
        assert.match(String(error), /damaged|too large/);
      }
    }
  }));
});

const XERIAL = [0x82, ...text("SNAPPY"), 0, 0, 0, 0, 1, 0, 0, 0, 1];

function frame(flags: number, optional: number[], rest: number[]): Uint8Array {
  return Uint8Array.from([0x04, 0x22, 0x4d, 0x18, 0x40 | flags, 0x70, ...optional, 0, ...rest]);
}

function block(bytes: number[]): number[] {
  return [bytes.length & 255, bytes.length >> 8, 0, 0, ...bytes];
}

function text(ascii: string): number[] {
  return [...new TextEncoder().encode(ascii)];
}

function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
