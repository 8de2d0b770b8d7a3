/** Statements that answer with arrays instead of objects: for many rows, in half the time. */

import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

/** One value for each column, in the statement's order. */
export type Row = SQLOutputValue[];

export interface ArrayStatement {
  get(...parameters: SQLInputValue[]): Row | undefined;
  all(...parameters: SQLInputValue[]): Row[];
}

export function prepareArrays(db: DatabaseSync, sql: string): ArrayStatement {
  // Node.js has it since 24.0; the declarations that come with Deno do not know it yet.
  const statement = db.prepare(sql) as unknown as ArrayStatement & { setReturnArrays(isOn: boolean): void };
  statement.setReturnArrays(true);
  return statement;
}
