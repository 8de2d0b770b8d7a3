/** The files an agent with this database touches; SQLite's own `-wal` and `-shm` beside it need no permission. */
export function databaseFiles(path: string): string[] {
  return [path, lockPathOf(path)];
}

export function lockPathOf(path: string): string {
  return `${path}.lock`;
}
