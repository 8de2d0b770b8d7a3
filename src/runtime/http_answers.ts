/** What every HTTP client here does with answers and failures. */

import { failureOf } from "./failure.ts";
import { redactText } from "./redact.ts";

/** What is kept of an answer that says why something was refused. */
export const ANSWER_CHARACTERS_MAX = 4_096;

/** How long the rest of a body is waited for: its status and headers have decided already. */
const EXCERPT_MS_MAX = 2_000;
const DISCARD_MS_MAX = 1_000;

/** The start of an answer, as text; what cannot be read, or does not come soon, is left out. */
export async function excerptOf(response: Response): Promise<string> {
  return await startOf(response, EXCERPT_MS_MAX);
}

/** Lets go of an answer nobody reads, so that its connection serves the next request. */
export async function discard(response: Response): Promise<void> {
  // Cancelling is quicker than reading, but would close the connection in the middle of a chunked body.
  if (response.headers.has("content-length")) await response.body?.cancel();
  else await startOf(response, DISCARD_MS_MAX);
}

async function startOf(response: Response, patienceMs: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const letGo = () => void reader.cancel().catch(() => {});
  const timer = setTimeout(letGo, patienceMs);
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (text.length < ANSWER_CHARACTERS_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    // The status is what decides; a body that breaks off only makes the record shorter.
  } finally {
    clearTimeout(timer);
    letGo();
  }
  return text.slice(0, ANSWER_CHARACTERS_MAX);
}

/** fetch puts the URL, and with it a key, into its messages: only what went wrong is kept. */
export function networkFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = failureOf(cause)
    // A URL has no spaces, so the first colon before one ends what names it, in whatever form.
    .replace(/^error sending request .*?: /, "")
    .replace(/^client error \([A-Za-z]+\): /, "")
    .replace(/\bhttps?:\/\/\S+/gi, "…");
  return redactText(text === "" ? "the connection failed" : text);
}
