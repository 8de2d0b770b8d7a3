/** Text from outside in a message for people: bounded, and on one line. */

const QUOTED_MAX = 100;

export function quoted(text: string): string {
  return text.length > QUOTED_MAX ? `${JSON.stringify(text.slice(0, QUOTED_MAX))}…` : JSON.stringify(text);
}
