import type { EdgeItem } from "../../src/domain/edge_item.ts";
import type { Sink, SinkOutcome } from "../../src/sinks/sink.ts";

/** Of one delivery, all that come; `mayGoOn` as the edge loop gives it. */
export function outcomesOf(
  sink: Sink,
  items: readonly EdgeItem[],
  signal: AbortSignal = new AbortController().signal,
  mayGoOn: () => boolean = () => true,
): Promise<SinkOutcome[]> {
  return Array.fromAsync(sink.deliver(items, signal, mayGoOn));
}
