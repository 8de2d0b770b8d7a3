/** The project's files as the rules look at them: who imports what, with paths resolved. */

import { importsOf } from "./imports.ts";

/** Path from the project's root, with slashes → text. */
export type Files = ReadonlyMap<string, string>;

export type Target =
  | { kind: "file"; path: string }
  | { kind: "package"; name: string }
  | { kind: "node"; name: string }
  /** `npm:`, `https:` and the like, or a bare name that `deno.json` does not know. */
  | { kind: "outside"; specifier: string }
  | { kind: "computed" };

export interface Edge {
  from: string;
  line: number;
  isTypeOnly: boolean;
  target: Target;
}

export interface Project {
  files: Files;
  edges: readonly Edge[];
  /** The packages that `deno.json` names. */
  packages: readonly string[];
}

export function projectOf(files: Files): Project {
  const packages = packagesIn(files.get("deno.json") ?? "{}");
  const edges = [...files].filter(([path]) => isCode(path)).flatMap(([from, text]) =>
    importsOf(text).map(({ specifier, line, isTypeOnly }) => ({
      from,
      line,
      isTypeOnly,
      target: targetOf(specifier, from, packages),
    }))
  );
  return { files, edges, packages };
}

export function isCode(path: string): boolean {
  return /\.[cm]?[jt]sx?$/.test(path);
}

/** Every file that these import, directly or not, themselves included, each with the chain that leads there. */
export function reachedFrom(
  roots: readonly string[],
  edges: readonly Edge[],
): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, readonly string[]>(roots.map((root) => [root, [root]]));
  // A map also visits what is added while it is walked.
  for (const [path, chain] of chains) {
    for (const { from, target } of edges) {
      if (from !== path || target.kind !== "file" || chains.has(target.path)) continue;
      chains.set(target.path, [...chain, target.path]);
    }
  }
  return chains;
}

function targetOf(specifier: string | null, from: string, packages: readonly string[]): Target {
  if (specifier === null) return { kind: "computed" };
  if (/^\.{0,2}\//.test(specifier)) {
    return { kind: "file", path: new URL(specifier, `file:///${from}`).pathname.slice(1) };
  }
  if (specifier.startsWith("node:")) return { kind: "node", name: specifier };
  const name = packages.find((known) => specifier === known || specifier.startsWith(`${known}/`));
  return name === undefined ? { kind: "outside", specifier } : { kind: "package", name };
}

function packagesIn(manifest: string): string[] {
  const { imports }: { imports?: Record<string, string> } = JSON.parse(manifest);
  // A name with a slash maps the files of a package that is named too.
  return Object.keys(imports ?? {}).filter((name) => !name.endsWith("/"));
}
