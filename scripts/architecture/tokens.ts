/** As much of TypeScript's lexical grammar as it takes to tell code from comments, strings and regular expressions. */

export interface Token {
  kind: "word" | "string" | "mark";
  /** Of a string what is between its quotes, as written. */
  text: string;
  line: number;
}

const BLANK = /(?:\s|\/\/.*|\/\*[\s\S]*?(?:\*\/|$))+/y;
const WORD = /[\p{ID_Start}$_#\d][\p{ID_Continue}$]*/uy;
const STRING = /"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'/y;
const REGULAR_EXPRESSION = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/\w*/y;
/** From a backtick, or the brace that closes `${…}`, to the next of either. */
const TEMPLATE_PART = /[`}](?:\\[\s\S]|\$(?!\{)|[^\\`$])*(?:`|\$\{|$)/y;

/** After these a slash starts a regular expression; after any other word it divides. */
const BEFORE_EXPRESSION = new Set(
  "await case delete do else in instanceof new of return throw typeof void yield".split(" "),
);

export function tokensOf(source: string): Token[] {
  const text = source.replace(/^#!.*/, "");
  const tokens: Token[] = [];
  // One entry per `${` that is still open: how many braces were opened after it.
  const openBraces: number[] = [];
  let at = 0;
  let line = 1;

  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? null;
  };
  const add = (kind: Token["kind"], content: string) => tokens.push({ kind, text: content, line });

  while (at < text.length) {
    const char = text.charAt(at);
    const innermost = openBraces.length - 1;
    let taken = take(BLANK);
    if (taken === null && (char === "`" || char === "}" && openBraces[innermost] === 0)) {
      taken = take(TEMPLATE_PART) ?? char;
      const goesOn = taken.endsWith("${");
      if (char === "`" && !goesOn) add("string", taken.slice(1, -1));
      else add("mark", goesOn ? "${" : "`");
      if (char === "`" && goesOn) openBraces.push(0);
      if (char === "}" && !goesOn) openBraces.pop();
    } else if (taken === null) {
      const word = take(WORD);
      const string = take(STRING);
      const expression = char === "/" && expressionMayStart(tokens.at(-1)) ? take(REGULAR_EXPRESSION) : null;
      taken = word ?? string ?? expression ?? char;
      if (word !== null) add("word", word);
      else if (string !== null) add("string", string.slice(1, -1));
      // What a regular expression holds concerns nobody here; to what follows it, it is a value like a name.
      else if (expression !== null) add("word", "");
      else add("mark", char);
      if (char === "{" && innermost >= 0) openBraces[innermost] = (openBraces[innermost] ?? 0) + 1;
      if (char === "}" && innermost >= 0) openBraces[innermost] = (openBraces[innermost] ?? 0) - 1;
    }
    at += taken.length;
    line += taken.split("\n").length - 1;
  }
  return tokens;
}

function expressionMayStart(previous: Token | undefined): boolean {
  switch (previous?.kind) {
    case undefined:
      return true;
    case "string":
      return false;
    case "word":
      return BEFORE_EXPRESSION.has(previous.text);
    case "mark":
      return !")]}`".includes(previous.text);
  }
}
