/** SQLite's result codes (sqlite.org/rescode.html), as far as anything is decided by them. */

import { failureOf } from "../runtime/failure.ts";

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

export const FILE_GONE = "the database file was deleted or replaced while the agent uses it";

/** Another connection holds the file. */
export function isBusy(error: unknown): boolean {
  return isOneOf(error, SQLITE_BUSY, SQLITE_LOCKED);
}

/** No room on the disk, or the file is as large as it may become. */
export function isFull(error: unknown): boolean {
  return isOneOf(error, SQLITE_FULL);
}

export function isCorrupt(error: unknown): boolean {
  return isOneOf(error, SQLITE_CORRUPT, SQLITE_NOTADB);
}

/** Why nothing can be written, as one clause. */
export function diskFailure(error: unknown): string {
  if (error instanceof Error && error.message === FILE_GONE) return FILE_GONE;
  if (isFull(error)) return "the disk or the database's size limit is full";
  return `the database cannot be written: ${failureOf(error)}`;
}

function isOneOf(error: unknown, ...codes: number[]): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  // The upper bytes of an extended code say more than is needed.
  return typeof code === "number" && codes.includes(code & 0xff);
}
