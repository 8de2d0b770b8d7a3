/** Keys in messages: enough to tell which one it is, never enough to use it. */

const SHOWN_CHARACTERS = 6;

/** ilert's keys as they may turn up inside other people's error messages. */
const ILERT_KEY = /\b(il1[a-z]{3}|iec1)[0-9a-zA-Z_-]{3,}/g;

export function redactKey(key: string): string {
  const shown = Math.min(SHOWN_CHARACTERS, Math.floor(key.length / 3));
  return `${key.slice(0, shown)}…`;
}

/** Shortens whatever looks like a key of ilert, and the given secrets, anywhere in a text. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  let redacted = text;
  for (const secret of secrets) redacted = redacted.replaceAll(secret, redactKey(secret));
  return redacted.replace(ILERT_KEY, "$1…");
}
