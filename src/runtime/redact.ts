/** Keys in messages: enough to tell which one it is, never enough to use it. */

/** ilert's keys as they may turn up inside other people's error messages. */
const ILERT_KEY = /\b(il1[a-z]{3}|iec1)[0-9a-zA-Z_-]{3,}/g;

/** The kind of key at its start and, where enough stays hidden, its last three characters: `il1api…x7Q`. */
export function redactKey(key: string): string {
  const start = key.slice(0, Math.min(6, Math.floor(key.length / 3)));
  return key.length < 18 ? `${start}…` : `${start}…${key.slice(-3)}`;
}

/** Shortens whatever looks like a key of ilert, and the given secrets, anywhere in a text. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  let redacted = text;
  for (const secret of secrets) redacted = redacted.replaceAll(secret, "…");
  return redacted.replace(ILERT_KEY, redactKey);
}
