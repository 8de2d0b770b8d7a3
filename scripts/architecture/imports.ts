/** What a module imports, read from its text: asking a compiler would take the right to run one. */

import { type Token, tokensOf } from "./tokens.ts";

export interface Import {
  /** As written; null where it is computed at run time. */
  specifier: string | null;
  line: number;
  /**
   * `import type` and `export type`, which are gone before anything runs. `import { type A }` is not taken for
   * one: whether its module is still evaluated is a compiler option.
   */
  isTypeOnly: boolean;
}

export function importsOf(source: string): Import[] {
  const tokens = tokensOf(source);
  return tokens.flatMap((token, index) => {
    if (token.kind !== "word" || isMark(tokens[index - 1], ".")) return [];
    const rest = tokens.slice(index + 1, index + 1 + IMPORT_TOKENS_MAX);
    const found = token.text === "import"
      ? importAfter(rest)
      : token.text === "export"
      ? exportAfter(rest)
      : null;
    return found === null ? [] : [{ ...found, line: token.line }];
  });
}

/** Far more than the longest list of names: keeps a stray `export {` from reading to the end of the file. */
const IMPORT_TOKENS_MAX = 2_000;

type Found = Omit<Import, "line">;

function importAfter(rest: Token[]): Found | null {
  const [first, second] = rest;
  if (first?.kind === "string") return { specifier: literal(first), isTypeOnly: false };
  if (isMark(first, "(")) return dynamicImport(second, rest[2]);
  const isTypeOnly = isWord(first, "type") && !bindsTheName(rest);
  const specifier = specifierAfterFrom(rest);
  return specifier === undefined ? null : { specifier, isTypeOnly };
}

function exportAfter(rest: Token[]): Found | null {
  const isTypeOnly = isWord(rest[0], "type");
  const clause = isTypeOnly ? rest.slice(1) : rest;
  if (!isMark(clause[0], "{") && !isMark(clause[0], "*")) return null;
  const specifier = specifierAfterFrom(clause);
  return specifier === undefined ? null : { specifier, isTypeOnly };
}

function dynamicImport(argument: Token | undefined, next: Token | undefined): Found {
  const isLiteral = argument?.kind === "string" && (isMark(next, ")") || isMark(next, ","));
  return { specifier: isLiteral ? literal(argument) : null, isTypeOnly: false };
}

/** `import type from "x"` and `import type, { A } from "x"`: here `type` is a name like any other. */
function bindsTheName([, second, third]: Token[]): boolean {
  return isMark(second, ",") || isWord(second, "from") && !isWord(third, "from");
}

/** Undefined where these tokens are no import after all, such as `export { local }` or a property named so. */
function specifierAfterFrom(rest: Token[]): string | null | undefined {
  for (const [index, token] of rest.entries()) {
    const next = rest[index + 1];
    const closesClause = index === 0 || !isMark(rest[index - 1], "{") && !isMark(rest[index - 1], ",");
    if (isWord(token, "from") && next?.kind === "string" && closesClause) return literal(next);
    if (token.kind === "mark" && !"{},*".includes(token.text)) return undefined;
    // `export { a } export { b } from "x"`: the second is a statement of its own.
    if (isWord(token, "export") || isWord(token, "import")) return undefined;
  }
  return undefined;
}

/** With an escape in it, what is written is not what is imported. */
function literal(token: Token): string | null {
  return token.text.includes("\\") ? null : token.text;
}

function isMark(token: Token | undefined, text: string): boolean {
  return token?.kind === "mark" && token.text === text;
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === "word" && token.text === text;
}
