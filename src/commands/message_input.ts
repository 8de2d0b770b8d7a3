/** The message that `ilagent map` is asked about, from stdin. */

/** Far beyond what ilert takes as an event, and no burden to hold. */
export const MESSAGE_BYTES_MAX = 16_777_216;

/** Null where it is larger than `bytesMax`. */
export async function readMessage(
  input: { read(buffer: Uint8Array): Promise<number | null> },
  bytesMax: number = MESSAGE_BYTES_MAX,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(65_536);
  let length = 0;
  for (let count = await input.read(buffer); count !== null; count = await input.read(buffer)) {
    length += count;
    if (length > bytesMax) return null;
    chunks.push(buffer.slice(0, count));
  }
  const message = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    message.set(chunk, at);
    at += chunk.length;
  }
  return message;
}
