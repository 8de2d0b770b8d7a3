/** Reads the project's files from disk: all that Git would take, committed or not. */

import { join } from "node:path";
import type { Files } from "./project.ts";

export async function readTree(root: string): Promise<Files> {
  const isIgnored = ignoredBy(await Deno.readTextFile(join(root, ".gitignore")));
  const files = new Map<string, string>();
  for await (const path of pathsIn(root, "", isIgnored)) {
    files.set(path, await Deno.readTextFile(join(root, path)));
  }
  return new Map([...files].sort(([a], [b]) => a < b ? -1 : 1));
}

async function* pathsIn(
  root: string,
  folder: string,
  isIgnored: (path: string) => boolean,
): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(join(root, folder))) {
    const path = folder + entry.name;
    if (isIgnored(path)) continue;
    if (entry.isDirectory) yield* pathsIn(root, `${path}/`, isIgnored);
    else if (entry.isFile) yield path;
  }
}

/** Of `.gitignore`'s language what this project uses: names, `*`, and a slash in front for the top level. */
function ignoredBy(gitignore: string): (path: string) => boolean {
  const patterns = gitignore.split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const name = line.replace(/^\/|\/$/g, "").replace(/[.+?^$(){}|[\]\\]/g, "\\$&").replaceAll(
        "*",
        "[^/]*",
      );
      return new RegExp(`${line.startsWith("/") ? "^" : "(?:^|/)"}${name}$`);
    });
  return (path) => path === ".git" || patterns.some((pattern) => pattern.test(path));
}
