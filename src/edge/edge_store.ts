/**
 * What the edge connector keeps on disk: the cursor, dead letters, and those of them that are to be delivered again.
 *
 *   polled ── delivered ──▶ the cursor moves past it
 *          └─ skipped ────▶ dead letter, in one transaction with the cursor and the ledger
 *                             │ ilagent deadletter retry
 *                             ▼
 *                           returned ── delivered ──▶ the row is gone, the ledger has it as delivered
 *                             ▲  │  └── skipped ─────▶ dead letter again
 *                             └──┘ a retry: attempts and error in the row
 */

import type { EdgeItem } from "../domain/edge_item.ts";

export interface DeadItem {
  id: string;
  /** JSON text. */
  payload: string;
  alertId: string;
  status: number | null;
  reason: string;
  responseBody: string | null;
}

/** A dead letter that is to be delivered again. */
export interface ReturnedItem {
  /** Its own: several letters may be of items with the same id. */
  readonly letterId: string;
  readonly item: EdgeItem;
  /** Failed attempts since it was returned. */
  readonly attempts: number;
}

export type ReturnedSettlement =
  | { kind: "delivered" }
  | { kind: "waiting"; lastError: string }
  | { kind: "dead"; status: number | null; reason: string; responseBody: string | null };

export interface EdgeStore {
  /** Id of the last item that was settled, as kept; "0" before the first. */
  readonly cursor: string;
  /** Why no dead letter fits in, as one clause; null while there is room. */
  readonly full: string | null;
  /**
   * Keeps the cursor in its own time: several moves may become one write. It is never ahead of the call.
   * `hastenCursor()` begins with that now. `cursorKept()` resolves when the last move survives a kill; a loss of power
   * up to 0.1 s later.
   */
  moveCursor(id: string): void;
  hastenCursor(): void;
  cursorKept(): Promise<void>;
  /** Durable when it resolves, with the cursor moved to `cursor` unless that is null. Keeps trying while the disk fails. */
  bury(dead: DeadItem, cursor: string | null): Promise<void>;
  /** The first of the returned items; null where there is none. */
  firstReturned(): ReturnedItem | null;
  /** Durable when it resolves; keeps trying while the disk fails. */
  settleReturned(returned: ReturnedItem, settlement: ReturnedSettlement): Promise<void>;
}
