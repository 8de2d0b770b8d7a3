/**
 * Where the cursor may stand while a batch is being settled. Pure.
 *
 * ilert hands out what comes after an id, so the cursor must not stand at or beyond an item that is not settled. With
 * ascending ids that is simply the last settled item; with odd ones it waits until everything below is settled too.
 */

/**
 * For each item of a batch, in its order: the id to move the cursor to once it and all before it are settled, or null
 * where the cursor must stay. `ids` has null for an item without a usable id; `after` is what was asked for. Ids that
 * begin anew must not be compared with the old ones, or the same batch would come for ever.
 */
export function cursorPositions(
  ids: readonly (string | null)[],
  after: string,
  hasBegunAnew: boolean,
): (string | null)[] {
  const values = ids.map((id) => id === null ? null : BigInt(id));
  const ceilings = lowestBehind(values);
  let position = hasBegunAnew ? null : BigInt(after);
  let settled: bigint[] = [];
  return values.map((value, at) => {
    if (value === null) return null;
    settled.push(value);
    const ceiling = ceilings[at] ?? null;
    const reachable = settled.filter((id) => ceiling === null || id < ceiling);
    const highest = reachable.reduce<bigint | null>((a, b) => a === null || b > a ? b : a, null);
    if (highest === null || (position !== null && highest <= position)) return null;
    position = highest;
    settled = settled.filter((id) => id > highest);
    return String(highest);
  });
}

/**
 * Whether all ids are old ones. A stale answer looks like this, too, so only a second one in a row says that the ids
 * have begun anew.
 */
export function isBehind(ids: readonly (string | null)[], after: string): boolean {
  const known = ids.filter((id) => id !== null);
  return known.length > 0 && known.every((id) => BigInt(id) <= BigInt(after));
}

/** The first id that does not follow the one before it, for a warning; null where all ascend. */
export function firstOddId(ids: readonly (string | null)[], after: string): string | null {
  let last = BigInt(after);
  for (const id of ids) {
    if (id === null) continue;
    const value = BigInt(id);
    if (value <= last) return id;
    last = value;
  }
  return null;
}

/** For each place the lowest id behind it; null where there is none. */
function lowestBehind(values: readonly (bigint | null)[]): (bigint | null)[] {
  const lowest: (bigint | null)[] = new Array(values.length).fill(null);
  for (let at = values.length - 2; at >= 0; at--) {
    const next = values[at + 1] ?? null;
    const low = lowest[at + 1] ?? null;
    lowest[at] = next === null || (low !== null && low < next) ? low : next;
  }
  return lowest;
}
