/** The files an agent with this database opens itself; what SQLite opens beside them needs no permission. */
export function databaseFiles(path: string): string[] {
  return [path, logPathOf(path), lockPathOf(path)];
}

/** SQLite's write-ahead log. */
export function logPathOf(path: string): string {
  return `${path}-wal`;
}

export function lockPathOf(path: string): string {
  return `${path}.lock`;
}
