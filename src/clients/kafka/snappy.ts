/**
 * Unpacks Snappy, bare (google/snappy, format_description.txt) and in the blocks of xerial's snappy-java, which is what
 * Java producers write.
 */

/** "\x82SNAPPY\0", then two version numbers of four bytes. */
const XERIAL_MAGIC = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00];
const XERIAL_HEADER_BYTES = 16;

/** Throws where the bytes are no Snappy, or would be larger than `bytesMax`. */
export function decompressSnappy(packed: Uint8Array, bytesMax: number): Uint8Array {
  if (!XERIAL_MAGIC.every((byte, i) => packed[i] === byte)) return unpackBlock(packed, bytesMax);
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const blocks: Uint8Array[] = [];
  let total = 0;
  for (let at = XERIAL_HEADER_BYTES; at < packed.length;) {
    const length = at + 4 > packed.length ? Infinity : view.getUint32(at);
    if (at + 4 + length > packed.length) throw damaged();
    const block = unpackBlock(packed.subarray(at + 4, at + 4 + length), bytesMax - total);
    blocks.push(block);
    total += block.length;
    at += 4 + length;
  }
  const unpacked = new Uint8Array(total);
  let at = 0;
  for (const block of blocks) {
    unpacked.set(block, at);
    at += block.length;
  }
  return unpacked;
}

function unpackBlock(packed: Uint8Array, bytesMax: number): Uint8Array {
  const { length, at: start } = readLength(packed);
  if (length > bytesMax) throw new Error(`Snappy data of ${length} bytes is too large`);
  const unpacked = new Uint8Array(length);
  let at = start, to = 0;
  while (at < packed.length) {
    const tag = packed[at++] ?? 0;
    if ((tag & 3) === 0) {
      const lengthBytes = Math.max(0, (tag >> 2) - 59);
      const size = 1 + (lengthBytes === 0 ? tag >> 2 : littleEndian(packed, at, lengthBytes));
      at += lengthBytes;
      if (at + size > packed.length || to + size > length) throw damaged();
      unpacked.set(packed.subarray(at, at + size), to);
      at += size;
      to += size;
      continue;
    }
    const isShort = (tag & 3) === 1;
    const size = isShort ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const offsetBytes = isShort ? 1 : (tag & 3) === 2 ? 2 : 4;
    const offset = littleEndian(packed, at, offsetBytes) + (isShort ? (tag >> 5) * 256 : 0);
    at += offsetBytes;
    if (offset === 0 || offset > to || to + size > length) throw damaged();
    // Byte by byte, because a copy may reach into what it writes.
    for (let i = 0; i < size; i++, to++) unpacked[to] = unpacked[to - offset] ?? 0;
  }
  if (to !== length) throw damaged();
  return unpacked;
}

function readLength(packed: Uint8Array): { length: number; at: number } {
  let length = 0;
  for (let at = 0; at < 5; at++) {
    const byte = packed[at];
    if (byte === undefined) throw damaged();
    length += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { length, at: at + 1 };
  }
  throw damaged();
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value += (bytes[at + i] ?? 0) * 256 ** i;
  return value;
}

function damaged(): Error {
  return new Error("Snappy data is damaged");
}
