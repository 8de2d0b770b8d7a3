/** Request bodies, bounded in size and time while they arrive. */

export const BODY_BYTES_MAX = 16_000;
export const BODY_DEADLINE_MS = 10_000;

export type Body = { kind: "text"; text: string } | { kind: "too_large" } | { kind: "too_slow" } | {
  kind: "broken";
};

const LATE = Symbol("late");

/** Reads at most `BODY_BYTES_MAX` bytes for at most `deadlineMs`. Bytes that are not UTF-8 are `broken`. */
export async function readBody(request: Request, deadlineMs: number = BODY_DEADLINE_MS): Promise<Body> {
  if (Number(request.headers.get("content-length")) > BODY_BYTES_MAX) return { kind: "too_large" };
  if (request.body === null) return { kind: "text", text: "" };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof LATE>((resolve) => timer = setTimeout(() => resolve(LATE), deadlineMs));
  const reader = request.body.getReader();
  try {
    const chunks: Uint8Array[] = [];
    for (let size = 0;;) {
      const next = await Promise.race([reader.read(), late]);
      if (next === LATE) return { kind: "too_slow" };
      if (next.done) return { kind: "text", text: decode(chunks) };
      size += next.value.length;
      if (size > BODY_BYTES_MAX) return { kind: "too_large" };
      chunks.push(next.value);
    }
  } catch {
    // The sender hung up, or what it sent is not text.
    return { kind: "broken" };
  } finally {
    clearTimeout(timer);
    // Lets go of a body that was not read to its end; a failure here is the sender hanging up, which is said above.
    reader.cancel().catch(() => {});
  }
}

function decode(chunks: Uint8Array[]): string {
  const only = chunks.length === 1 ? chunks[0] : undefined;
  return new TextDecoder("utf-8", { fatal: true }).decode(only ?? concatenated(chunks));
}

function concatenated(chunks: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
