/** The compressions of record batches that kafkajs leaves to others. */

import { Buffer } from "node:buffer";
import { zstdDecompressSync } from "node:zlib";
import { decompressLz4 } from "./lz4.ts";
import { decompressSnappy } from "./snappy.ts";

/** Far beyond what a broker takes as one batch; what claims to be larger is not unpacked. */
export const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;

export const DECOMPRESSORS = [
  {
    type: "Snappy",
    decompress: (bytes: Uint8Array) => toBuffer(decompressSnappy(bytes, UNPACKED_BYTES_MAX)),
  },
  { type: "LZ4", decompress: (bytes: Uint8Array) => toBuffer(decompressLz4(bytes, UNPACKED_BYTES_MAX)) },
  {
    type: "ZSTD",
    decompress: (bytes: Uint8Array) => zstdDecompressSync(bytes, { maxOutputLength: UNPACKED_BYTES_MAX }),
  },
] as const;

/** kafkajs reads numbers with the methods of Buffer. */
function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
