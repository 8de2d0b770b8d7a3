/** JSON in and out without changing a number: an id of 19 digits must reach ilert as it was sent. */

/** Digits or exponents that a double may not hold; anything else is parsed the fast way. */
const MAY_LOSE_PRECISION = /[0-9](?:[0-9]{15}|[eE][+-]?[0-9]{2})/;

/** serde_json refuses 128 levels; some thousands overflow the stack when they are read back or written. */
export const NESTING_MAX = 500;

/** Part of ECMAScript's "JSON.parse source text access", not yet in TypeScript's own declarations. */
interface RawJson {
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): boolean;
}

const rawJson = JSON as unknown as RawJson;

/**
 * Parses JSON; numbers a double cannot hold keep their source text and are written back unchanged. Throws SyntaxError, or
 * RangeError for what is nested too deeply for it.
 */
export function parseJson(text: string): unknown {
  if (!MAY_LOSE_PRECISION.test(text)) return JSON.parse(text);
  return JSON.parse(text, keepSource as (key: string, value: unknown) => unknown);
}

function keepSource(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || context.source === undefined) return value;
  const exact = Number.isSafeInteger(value) || (Number.isFinite(value) && context.source.length < 16);
  return exact ? value : rawJson.rawJSON(context.source);
}

/** Whether `parseJson` kept this number as its source text. */
export function isRawNumber(value: unknown): boolean {
  return rawJson.isRawJSON(value);
}

/** Whether what was parsed from this text has more than `NESTING_MAX` levels. A level takes at least two characters. */
export function isNestedTooDeeply(text: string, json: unknown): boolean {
  return text.length > 2 * NESTING_MAX && isNestedBeyond(json, NESTING_MAX);
}

function isNestedBeyond(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  for (const item of Object.values(value)) if (isNestedBeyond(item, levels - 1)) return true;
  return false;
}
