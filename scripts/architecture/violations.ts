/** Applies the tables of `rules.ts` to the project's files. Pure: the test feeds it small projects of its own. */

import { type Files, isCode, type Project, projectOf, reachedFrom, type Target } from "./project.ts";
import {
  ARROWS,
  fits,
  fitsAny,
  MAIN_THREAD,
  NODE_MODULES,
  PACKAGES,
  REACHED,
  SCRIPT_WORKER,
  SOURCE_LINES_MAX,
  STARTED_BY_PATH,
  TOP_LEVEL,
  VAGUE_NAMES,
  VAGUE_WORDS,
} from "./rules.ts";
import { tokensOf } from "./tokens.ts";

interface Breach {
  file: string;
  line: number;
  /** What is wrong, what would be right. */
  text: string;
}

const RULES: Readonly<Record<string, (project: Project) => Breach[]>> = {
  "top level": topLevel,
  "import arrow": importArrows,
  "import origin": importOrigins,
  "package": packages,
  "built-in module": nodeModules,
  "main thread": mainThread,
  "script worker": scriptWorker,
  "leftover": leftovers,
  "vague name": vagueNames,
  "file length": fileLengths,
  "console": consoles,
  "machine path": machinePaths,
};

export const RULE_NAMES: readonly string[] = Object.keys(RULES);

/** One line each: `file:line: rule: what is wrong, what would be right`. */
export function violations(files: Files): string[] {
  const project = projectOf(files);
  return Object.entries(RULES).flatMap(([rule, breachesIn]) =>
    breachesIn(project).map(({ file, line, text }) => `${file}:${line}: ${rule}: ${text}`)
  );
}

function topLevel({ files }: Project): Breach[] {
  const first = new Map([...files.keys()].reverse().map((path) => [path.split("/")[0] ?? path, path]));
  return [...first].filter(([name]) => !TOP_LEVEL.includes(name)).map(([name, file]) => ({
    file,
    line: 1,
    text: `${name} does not belong at the top, put it into one of the folders there`,
  }));
}

function importArrows({ edges, files }: Project): Breach[] {
  const rowless = [...files.keys()].filter((path) => isCode(path) && arrowOf(path) === undefined)
    .map((file) => ({
      file,
      line: 1,
      text: "has no row in ARROWS, add one that says what it may import",
    }));
  const wrong = edges.flatMap(({ from, line, target, isTypeOnly }) => {
    const arrow = arrowOf(from);
    if (target.kind !== "file" || arrow === undefined || fitsAny(target.path, arrow.may)) return [];
    const mayType = arrow.mayType ?? [];
    if (isTypeOnly && fitsAny(target.path, mayType)) return [];
    const text = fitsAny(target.path, mayType)
      ? `imports ${target.path}, of which only types are allowed: write 'import type'`
      : `imports ${target.path}, ${arrow.from} may import ${listed(arrow.may)}`;
    return [{ file: from, line, text }];
  });
  return [...rowless, ...wrong];
}

function arrowOf(path: string) {
  return ARROWS.find(({ from }) => fits(path, from));
}

/** What the check cannot follow, it cannot vouch for. */
function importOrigins({ edges }: Project): Breach[] {
  return edges.flatMap(({ from, line, target }) => {
    if (target.kind === "outside") {
      const text = `imports "${target.specifier}" directly, name it under "imports" in deno.json`;
      return [{ file: from, line, text }];
    }
    if (target.kind === "computed" && isProgram(from)) {
      return [{ file: from, line, text: "imports a computed name, write it as one literal string" }];
    }
    return [];
  });
}

function packages({ edges, files, packages }: Project): Breach[] {
  const wrong = edges.flatMap(({ from, line, target }) => {
    if (target.kind !== "package") return [];
    const importers = PACKAGES[target.name];
    if (importers === undefined || fitsAny(from, importers)) return [];
    return [{ file: from, line, text: `imports "${target.name}", only ${listed(importers)} may` }];
  });
  const used = new Set(edges.map(({ target }) => target.kind === "package" ? target.name : ""));
  const unlisted = packages.flatMap((name) => {
    const file = "deno.json";
    const line = lineOf(files.get(file) ?? "", JSON.stringify(name));
    return [
      ...(used.has(name) ? [] : [{ file, line, text: `nothing imports "${name}", remove it` }]),
      ...(Object.hasOwn(PACKAGES, name)
        ? []
        : [{ file, line, text: `"${name}" has no row in PACKAGES, add its one importer` }]),
    ];
  });
  return [...wrong, ...unlisted];
}

function nodeModules({ edges }: Project): Breach[] {
  return edges.flatMap(({ from, line, target }) => {
    if (target.kind !== "node" || !isProgram(from)) return [];
    const users = NODE_MODULES[target.name] ?? [];
    if (fitsAny(from, users)) return [];
    const text = users.length === 0
      ? `imports "${target.name}", which has no row in NODE_MODULES: use Deno's own or add one`
      : `imports "${target.name}", only ${listed(users)} may`;
    return [{ file: from, line, text }];
  });
}

/** Code of others belongs into the jail: here it would run with all rights. */
function mainThread({ edges }: Project): Breach[] {
  const evaluated = edges.filter(({ from, isTypeOnly, target }) => {
    // By its role's name only the entry starts them elsewhere: whoever else imports them evaluates them here.
    const isJailed = from === MAIN_THREAD.entry && target.kind === "file" &&
      fitsAny(target.path, MAIN_THREAD.without);
    return !isTypeOnly && !isJailed;
  });
  const chains = reachedFrom([MAIN_THREAD.entry], evaluated);
  return evaluated.flatMap(({ from, line, target }) => {
    const chain = chains.get(from);
    const name = nameOf(target);
    if (chain === undefined || name === null || fitsAny(name, MAIN_THREAD.mayEvaluate)) return [];
    return [{
      file: from,
      line,
      text: `"${name}" is evaluated outside the jail (${chain.join(" → ")}), ` +
        `only ${listed(MAIN_THREAD.mayEvaluate)} may be: load it in the agent's role`,
    }];
  });
}

/** Nobody else's code, and of ours only what was read for it: here it could run programs. */
function scriptWorker({ edges }: Project): Breach[] {
  const evaluated = edges.filter(({ isTypeOnly }) => !isTypeOnly);
  const chains = reachedFrom([SCRIPT_WORKER.entry], evaluated);
  return evaluated.flatMap(({ from, line, target }) => {
    const chain = chains.get(from);
    const name = target.kind === "file" ? target.path : nameOf(target) ?? "a computed name";
    if (chain === undefined || fitsAny(name, SCRIPT_WORKER.files)) return [];
    return [{
      file: from,
      line,
      text: `"${name}" is evaluated where programs may be run (${chain.join(" → ")}), ` +
        "do without it or add it to SCRIPT_WORKER",
    }];
  });
}

function leftovers({ edges, files }: Project): Breach[] {
  return REACHED.flatMap(({ files: within, from }) => {
    const roots = [...files.keys()].filter((path) => fitsAny(path, [...from, ...STARTED_BY_PATH]));
    const reached = reachedFrom(roots, edges);
    return [...files.keys()].filter((path) => isCode(path) && fits(path, within))
      .filter((path) => !reached.has(path) && !path.endsWith("_test.ts"))
      .map((file) => ({ file, line: 1, text: `nothing in ${listed(from)} leads here, use it or remove it` }));
  });
}

function vagueNames({ files }: Project): Breach[] {
  return [...files.keys()].flatMap((file) => {
    const names = file.split("/").map((segment) => segment.replace(/(?<=.)\..*/, "").toLowerCase());
    const vague = names.find((name) =>
      VAGUE_NAMES.includes(name) || name.split(/[_-]/).some((word) => VAGUE_WORDS.includes(word))
    );
    if (vague === undefined) return [];
    return [{ file, line: 1, text: `"${vague}" says nothing, name it after the one thing it holds` }];
  });
}

function fileLengths({ files }: Project): Breach[] {
  return [...files].filter(([file]) => fits(file, "src/")).flatMap(([file, text]) => {
    const lines = text.trimEnd().split("\n").length;
    if (lines <= SOURCE_LINES_MAX) return [];
    return [{ file, line: lines, text: `has ${lines} lines, split it to have at most ${SOURCE_LINES_MAX}` }];
  });
}

function consoles({ files }: Project): Breach[] {
  return [...files].filter(([file]) => isCode(file) && isProgram(file)).flatMap(([file, text]) =>
    tokensOf(text).filter((token) => token.kind === "word" && token.text === "console").map(({ line }) => ({
      file,
      line,
      text: "a stalled reader of console output blocks the worker, " +
        "log through src/runtime/log.ts and print results through src/runtime/print.ts",
    }))
  );
}

function machinePaths({ files }: Project): Breach[] {
  const machinePath = /(?<![\w.}-])\/(?:home|root|Users)\/[\w.-]+|\b[A-Z]:\\Users\\\w+/;
  return [...files].flatMap(([file, text]) =>
    text.split("\n").flatMap((content, index) => {
      const found = machinePath.exec(content)?.[0];
      if (found === undefined) return [];
      return [{ file, line: index + 1, text: `${found} exists on one machine only, write a relative path` }];
    })
  );
}

/** What is built and shipped, as opposed to what surrounds it. */
function isProgram(path: string): boolean {
  return path === "main.ts" || fits(path, "src/");
}

/** Null where it is a file of this project. */
function nameOf(target: Target): string | null {
  switch (target.kind) {
    case "package":
    case "node":
      return target.name;
    case "outside":
      return target.specifier;
    case "file":
    case "computed":
      return null;
  }
}

function lineOf(text: string, part: string): number {
  return text.slice(0, Math.max(0, text.indexOf(part))).split("\n").length;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "nothing" : names.join(", ");
}
