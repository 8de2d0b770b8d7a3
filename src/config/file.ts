/** The YAML file named by `--config` → flags as text. */

import { type Flag, flagEntries, type FlagName, flags } from "./flags.ts";
import { type Given, nearest, type Source } from "./given.ts";
import type { Surroundings } from "./environment.ts";
import { failureOf } from "../runtime/failure.ts";

/** How YAML writes that there is no value; the failsafe schema reads them as text. */
const NOTHING = ["", "~", "null"];

export async function readConfigFile(path: string, surroundings: Surroundings): Promise<Source> {
  const source: Source = { given: new Map(), problems: [] };
  let content: string;
  try {
    content = surroundings.readFile(path);
  } catch (error) {
    source.problems.push(`--config: cannot read ${path}: ${failureOf(error)}; name a readable YAML file`);
    return source;
  }
  // Loaded only here: most starts have no file, and the parser costs start time.
  const { parseDocument } = await import("yaml");
  // The failsafe schema leaves every value the text it is: a token of digits stays as it was written.
  const document = parseDocument(content, { prettyErrors: true, schema: "failsafe" });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    source.problems.push(
      `--config: ${path} is not valid YAML: ${error.message.split("\n")[0]?.replace(/:$/, "")}`,
    );
    return source;
  }
  let settings: unknown;
  try {
    settings = document.toJS();
  } catch (error) {
    // An alias that leads nowhere, or one that would grow beyond measure.
    source.problems.push(`--config: ${path} is not valid YAML: ${failureOf(error)}`);
    return source;
  }
  if (settings === null || settings === "") return source;
  if (typeof settings !== "object" || Array.isArray(settings)) {
    source.problems.push(`--config: ${path} must hold settings such as 'port: 8977', one a line`);
    return source;
  }
  for (const [key, value] of Object.entries(settings)) {
    const name = key.replaceAll("-", "_") as FlagName;
    if (!Object.hasOwn(flags, name) || name === "config" || (flags[name] as Flag).onlyFlag) {
      const meant = nearest(key, flagEntries.map(([known]) => known));
      source.problems.push(
        `--config: unknown key '${key}' in ${path}${meant === undefined ? "" : `: did you mean '${meant}'?`}`,
      );
      continue;
    }
    const given = textsOf(flags[name], value, `${key} in ${path}`);
    if (source.given.has(name)) {
      source.problems.push(`--config: '${key}' stands twice in ${path}, in two spellings`);
    }
    if (typeof given === "string") source.problems.push(given);
    else if (given !== null) source.given.set(name, given);
  }
  return source;
}

/** The setting as text, null where the file leaves it empty, or the problem as a sentence. */
function textsOf(flag: Flag, value: unknown, origin: string): Given | string | null {
  if (value === null || NOTHING.includes(String(value))) return null;
  if (typeof value === "string") return { origin, texts: [value] };
  if (!flag.repeatable) return `${origin}: must be a single value`;
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return { origin, texts: value };
  }
  const entries = typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length > 0 && entries.every(([, item]) => typeof item === "string")) {
    return { origin, texts: entries.map(([name, item]) => `${name}=${item}`) };
  }
  return `${origin}: must be a list such as [a, b], or name: value lines`;
}
