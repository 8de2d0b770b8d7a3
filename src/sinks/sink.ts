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
   * Delivers in order, and answers with one outcome for each item from the front, each as soon as it is known, up to and
   * including the first `retry`: nothing is begun behind it, and what is under way may be delivered again. Before each
   * further request to the target `mayGoOn` is asked; after a no what is under way is finished, and the rest left alone.
   * Aborting `signal` ends the wait: the first item without an acknowledgement is a `retry`. Never throws for what a
   * target can do.
   */
  deliver(
    items: readonly EdgeItem[],
    signal: AbortSignal,
    mayGoOn: () => boolean,
  ): AsyncIterable<SinkOutcome>;
}
