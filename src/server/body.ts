/** Request bodies, bounded in size and time while they arrive. */

export const BODY_BYTES_MAX = 16_000;
export const BODY_DEADLINE_MS = 10_000;

export type Body = { kind: "text"; text: string } | { kind: "too_large" } | { kind: "too_slow" } | {
  kind: "broken";
};

/** Reads at most `BODY_BYTES_MAX` bytes until `deadline` is aborted. Bytes that are not UTF-8 are `broken`. */
export async function readBody(request: Request, deadline: AbortSignal): Promise<Body> {
  const length = request.headers.get("content-length");
  if (Number(length) > BODY_BYTES_MAX) return { kind: "too_large" };
  const { promise: late, resolve } = Promise.withResolvers<Body>();
  const onLate = () => resolve({ kind: "too_slow" });
  deadline.addEventListener("abort", onLate);
  try {
    // The server delivers no more than a stated length, so only a body without one must be counted while it arrives.
    return await Promise.race([length === null ? readCounted(request) : readWhole(request), late]);
  } catch {
    // The sender hung up, or what it sent is not text.
    return { kind: "broken" };
  } finally {
    deadline.removeEventListener("abort", onLate);
  }
}

async function readWhole(request: Request): Promise<Body> {
  return { kind: "text", text: utf8.decode(await request.bytes()) };
}

async function readCounted(request: Request): Promise<Body> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) return { kind: "too_large" };
    text += decoder.decode(chunk, { stream: true });
  }
  return { kind: "text", text: text + decoder.decode() };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
