/**
 * Where the edge connector delivers to. A sink connects, delivers, classifies what came of it, and closes; order,
 * retries, the cursor and dead letters live once above it, in `edge/`.
 */

import type { EdgeItem } from "../domain/edge_item.ts";

export type SinkOutcome =
  /** The target has acknowledged it. */
  | { kind: "delivered" }
  /** Final: the target will not take this item. `status` is null where the target has no such thing. */
  | { kind: "rejected"; status: number | null; reason: string; responseBody: string | null }
  /** Another attempt may succeed. `reason` is one clause for the log and for `/ready`. */
  | { kind: "retry"; reason: string };

export interface Sink extends AsyncDisposable {
  /** Items that one `deliver` may take; 1 for a sink that delivers one after the other. */
  readonly itemsMax: number;
  /**
   * Delivers in order, and answers with one outcome for each item from the front, up to and including the first
   * `retry`; what comes after it was not delivered, or may be delivered again. Aborting `signal` ends the wait: the items
   * without an acknowledgement are a `retry`. Never rejects for what a target can do.
   */
  deliver(items: readonly EdgeItem[], signal: AbortSignal): Promise<SinkOutcome[]>;
}
