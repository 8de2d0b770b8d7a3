/**
 * A message's payload as the text of a column, so that every row can be read with any SQLite client: as it is where it
 * is text, else as a data URL (RFC 2397), which any tool turns back into the very bytes.
 */

const BINARY_PREFIX = "data:application/octet-stream;base64,";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function textOfPayload(payload: Uint8Array | string): string {
  const text = typeof payload === "string" ? payload : decoded(payload);
  if (text !== null && isKeptAsIs(text)) return text;
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return BINARY_PREFIX + bytes.toBase64();
}

export function payloadOfText(text: string): Uint8Array | string {
  if (!text.startsWith(BINARY_PREFIX)) return text;
  try {
    return Uint8Array.fromBase64(text.slice(BINARY_PREFIX.length));
  } catch {
    // Another program wrote it, and meant what it wrote.
    return text;
  }
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** SQLite ends a text at U+0000; a byte order mark is lost on readers, and the prefix would be taken for ours. */
function isKeptAsIs(text: string): boolean {
  return !text.includes("\0") && !text.startsWith("\uFEFF") && !text.startsWith(BINARY_PREFIX);
}
