/** What an agent with this database opens itself; what SQLite opens beside it needs no permission. */
export function databaseFiles(path: string): { read: string[]; write: string[] } {
  const read = [path, logPathOf(path)];
  // A lock is taken on a file that nobody reads.
  return { read, write: [...read, lockPathOf(path)] };
}

/** SQLite's write-ahead log. */
export function logPathOf(path: string): string {
  return `${path}-wal`;
}

export function lockPathOf(path: string): string {
  return `${path}.lock`;
}
