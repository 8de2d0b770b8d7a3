/** What every HTTP client here does with answers and failures. */

import { failureOf } from "./failure.ts";
import { redactText } from "./redact.ts";

/** What is kept of an answer that says why something was refused. */
export const ANSWER_CHARACTERS_MAX = 4_096;

/** The start of an answer, as text; what cannot be read is left out. */
export async function excerptOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of response.body) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= ANSWER_CHARACTERS_MAX) break;
    }
  } catch {
    // The status is what decides; a body that breaks off only makes the record shorter.
  }
  return text.slice(0, ANSWER_CHARACTERS_MAX);
}

/** Lets go of an answer nobody reads, so that its connection serves the next request. */
export async function discard(response: Response): Promise<void> {
  // Cancelling is quicker than reading, but would close the connection in the middle of a chunked body.
  if (response.headers.has("content-length")) await response.body?.cancel();
  else await excerptOf(response);
}

/** fetch puts the URL, and with it a key, into its messages: only what went wrong is kept. */
export function networkFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = failureOf(cause)
    .replace(/^error sending request( from [^ ]+)? for url \([^)]*\)( \([^)]*\))?:? ?/, "")
    .replace(/^client error \([A-Za-z]+\): /, "");
  return redactText(text === "" ? "the connection failed" : text);
}
