/** Unpacks LZ4 frames (lz4/lz4, lz4_Frame_format.md). Checksums are left alone: a record batch has its own. */

const MAGIC = 0x184d2204;
const DICTIONARY_FLAG = 0x01,
  CONTENT_CHECKSUM_FLAG = 0x04,
  CONTENT_SIZE_FLAG = 0x08,
  BLOCK_CHECKSUM_FLAG = 0x10;
const MATCH_BYTES_MIN = 4;

/** Throws where the bytes are no LZ4 frame, or would be larger than `bytesMax`. */
export function decompressLz4(packed: Uint8Array, bytesMax: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (packed.length < 7 || view.getUint32(0, true) !== MAGIC) throw damaged();
  const flags = packed[4] ?? 0;
  let at = 7 + (flags & CONTENT_SIZE_FLAG ? 8 : 0) + (flags & DICTIONARY_FLAG ? 4 : 0);
  const unpacked = new Unpacked(bytesMax);
  for (;;) {
    if (at + 4 > packed.length) throw damaged();
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const isStored = word >= 0x80000000;
    const length = word & 0x7fffffff;
    if (at + length > packed.length) throw damaged();
    const block = packed.subarray(at, at + length);
    if (isStored) unpacked.append(block);
    else unpackBlock(block, unpacked);
    at += length + (flags & BLOCK_CHECKSUM_FLAG ? 4 : 0);
  }
  if (flags & CONTENT_CHECKSUM_FLAG && at + 4 > packed.length) throw damaged();
  return unpacked.bytes();
}

function unpackBlock(block: Uint8Array, unpacked: Unpacked): void {
  let at = 0;
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble < 15) return length;
    for (;;) {
      const byte = block[at++];
      if (byte === undefined) throw damaged();
      length += byte;
      if (byte < 255) return length;
    }
  };
  while (at < block.length) {
    const token = block[at++] ?? 0;
    const literals = extended(token >> 4);
    if (at + literals > block.length) throw damaged();
    unpacked.append(block.subarray(at, at + literals));
    at += literals;
    // The last sequence of a block is literals only.
    if (at === block.length) return;
    const offset = (block[at] ?? 0) + (block[at + 1] ?? 0) * 256;
    at += 2;
    unpacked.repeat(offset, extended(token & 15) + MATCH_BYTES_MIN);
  }
}

/** Grows as needed: a frame need not say how large it will be. */
class Unpacked {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Byte by byte, because a copy may reach into what it writes. */
  repeat(offset: number, length: number): void {
    if (offset === 0 || offset > this.#length) throw damaged();
    this.#makeRoom(length);
    const bytes = this.#bytes;
    const end = this.#length + length;
    for (; this.#length < end; this.#length++) {
      bytes[this.#length] = bytes[this.#length - offset] ?? 0;
    }
  }

  #makeRoom(count: number): void {
    const needed = this.#length + count;
    if (needed > this.#bytesMax) {
      throw new Error(`LZ4 data of more than ${this.#bytesMax} bytes is too large`);
    }
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.bytes());
    this.#bytes = larger;
  }
}

function damaged(): Error {
  return new Error("LZ4 data is damaged");
}
