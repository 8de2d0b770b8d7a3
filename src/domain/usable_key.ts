/** Whether a key of a message can be used: it becomes a segment of a URL's path, and a lane. */

/** Null where it can; else one clause. */
export function keyProblem(key: unknown): string | null {
  if (key === undefined || key === null) return "there is no integration key";
  if (typeof key !== "string") return "the integration key is not a string";
  if (key.trim() === "") return "the integration key is empty";
  // A URL cannot carry half a surrogate pair, SQLite ends a text at U+0000, and dots would lead to another path.
  if (key.includes("\0") || !key.isWellFormed() || key === "." || key === "..") {
    return "the integration key cannot be part of a URL";
  }
  return null;
}
