/**
 * How sockets read. By itself each read of Deno takes 64 KB of new memory, however little has come, which is given back
 * when V8 collects garbage for reasons of its own: tens of MB under load. So a socket reads into one buffer, always the
 * same, and what has come is copied out of it.
 */

import { Buffer } from "node:buffer";
import type { OnReadOpts } from "node:net";

const READ_BYTES_MAX = 16 * 1024;

/** For the options of a socket, whose `push` the chunks go to. */
export function readBuffer(push: (chunk: Buffer) => boolean): { onread: OnReadOpts } {
  const buffer = Buffer.allocUnsafe(READ_BYTES_MAX);
  return { onread: { buffer, callback: (bytes) => push(Buffer.from(buffer.subarray(0, bytes))) } };
}
