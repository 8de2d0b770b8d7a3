/** What an operator may do with queued events and dead letters, in short transactions beside a running agent. */

import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { parseEvent } from "../domain/event.ts";
import { parseJson } from "../domain/json.ts";
import { dropReturned, findReturned, hastenReturned, returnItem } from "./edge_operations.ts";
import { acceptedAtOf } from "./event_columns.ts";
import { EventRows } from "./event_rows.ts";
import {
  countMessages,
  dropMessages,
  findMessages,
  isMessage,
  requeueMessage,
} from "./message_operations.ts";

export type Shelf = "queue" | "deadletter";

export interface Selection {
  ids: readonly string[];
  /** Integration key. */
  key: string | null;
  /** ISO 8601; only what was accepted before. */
  acceptedBefore: string | null;
  status: number | null;
}

/** One row as it is shown: the columns of its table. */
export type Item = Record<string, unknown>;

const QUEUE_LIST = `id, created_at AS accepted_at, integration_key, alert_key, event_type, summary, attempts,
  next_attempt_at, last_error`;
const DEAD_LIST =
  "id, item_id, accepted_at, died_at, source, integration_key, alert_key, topic, status, reason, attempts";

export class Operator {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** The oldest first; messages, then returned items of the edge connector, then events; `isWhole` with payload and answer. */
  find(shelf: Shelf, selection: Selection, limit: number, isWhole: boolean): Item[] {
    const messages = shelf === "queue" ? findMessages(this.#db, selection, limit, isWhole) : [];
    const left = limit - messages.length;
    const returned = shelf === "queue" ? findReturned(this.#db, selection, left, isWhole) : [];
    const { where, values } = condition(shelf, selection);
    const columns = isWhole ? "*" : shelf === "queue" ? QUEUE_LIST : DEAD_LIST;
    const rows = this.#db.prepare(
      `SELECT ${columns} FROM ${tableOf(shelf)} WHERE ${where} ORDER BY rowid LIMIT ?`,
    ).all(...values, left - returned.length);
    return [...messages, ...returned, ...rows];
  }

  /** Waiting events are due at once. Answers how many; those that were due anyway count too. */
  retryQueued(selection: Selection): number {
    const { where, values } = condition("queue", selection);
    return this.#change(() =>
      Number(
        this.#db.prepare(`UPDATE event_items SET next_attempt_at = 0 WHERE ${where}`).run(...values).changes,
      ) + countMessages(this.#db, selection) + hastenReturned(this.#db, selection)
    );
  }

  /** Removes queued events and messages for good; they count as purged. The agent finds the new heads of their lanes. */
  dropQueued(selection: Selection): number {
    const { where, values } = condition("queue", selection);
    return this.#change(() => {
      const dropped = Number(
        this.#db.prepare(`DELETE FROM event_items WHERE ${where}`).run(...values).changes,
      );
      const count = dropped + dropMessages(this.#db, selection) + dropReturned(this.#db, selection);
      this.#countPurged(count);
      return count;
    });
  }

  /** Puts events at the end of their lanes, messages and items behind all others, with all their attempts before them. */
  retryDead(selection: Selection): { retried: number; refused: { id: string; reason: string }[] } {
    const { where, values } = condition("deadletter", selection);
    const refused: { id: string; reason: string }[] = [];
    const retried = this.#change(() => {
      const rows = new EventRows(this.#db);
      const remove = this.#db.prepare("DELETE FROM dead_letters WHERE id = ?");
      const letters = this.#db.prepare(`SELECT * FROM dead_letters WHERE ${where} ORDER BY rowid`).all(
        ...values,
      );
      for (const letter of letters) {
        const id = String(letter.id);
        if (isMessage(letter.source)) {
          requeueMessage(this.#db, id);
          remove.run(id);
          continue;
        }
        if (letter.source === "edge") {
          const problem = returnItem(this.#db, letter);
          if (problem === null) remove.run(id);
          else refused.push({ id, reason: problem });
          continue;
        }
        const parsed = eventOf(String(letter.payload));
        if (!parsed.ok) {
          refused.push({ id, reason: parsed.problem });
          continue;
        }
        const retried = {
          id,
          event: parsed.event,
          apiPath: letter.event_api_path as string | null,
          attempts: 0,
          acceptedAt: acceptedAtOf(letter.accepted_at),
        };
        // Whether it follows another, the agent finds out.
        rows.insert(retried, false, Date.now());
        remove.run(id);
      }
      return letters.length - refused.length;
    });
    return { retried, refused };
  }

  /** Removes dead letters for good. */
  purgeDead(selection: Selection): number {
    const { where, values } = condition("deadletter", selection);
    return this.#change(() => {
      const purged = Number(
        this.#db.prepare(`DELETE FROM dead_letters WHERE ${where}`).run(...values).changes,
      );
      this.#countPurged(purged);
      return purged;
    });
  }

  #countPurged(count: number): void {
    this.#db.prepare("UPDATE ledger SET purged = purged + ?").run(count);
  }

  #change<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}

function tableOf(shelf: Shelf): string {
  return shelf === "queue" ? "event_items" : "dead_letters";
}

function condition(shelf: Shelf, { ids, key, acceptedBefore, status }: Selection) {
  const terms: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (term: string, ...more: SQLInputValue[]) => {
    terms.push(term);
    values.push(...more);
  };
  if (ids.length > 0) add(`id IN (${ids.map(() => "?").join()})`, ...ids);
  if (key !== null) add("integration_key = ?", key);
  // The Rust agent writes a blank where ISO 8601 has its T.
  const acceptedAt = shelf === "queue" ? "created_at" : "accepted_at";
  if (acceptedBefore !== null) add(`replace(${acceptedAt}, ' ', 'T') < ?`, acceptedBefore);
  if (status !== null) add("status = ?", status);
  return { where: terms.length === 0 ? "true" : terms.join(" AND "), values };
}

function eventOf(payload: string) {
  try {
    return parseEvent(parseJson(payload));
  } catch {
    return { ok: false as const, problem: "Its payload is not JSON." };
  }
}
