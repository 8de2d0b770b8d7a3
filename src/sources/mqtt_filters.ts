/** How MQTT topic filters overlap. Source: MQTT 5, sections 4.7 and 4.8.2. */

/** Those that no other of them covers, each once, in their order: together they take the same topics as all. */
export function uncovered(filters: readonly string[]): string[] {
  const all = [...new Set(filters)];
  return all.filter((filter) => !all.some((other) => other !== filter && covers(other, filter)));
}

/** Whether all topics of `narrow` are topics of `wide`. A group's share of the messages is no other group's. */
function covers(wide: string, narrow: string): boolean {
  const one = parsed(wide), other = parsed(narrow);
  if (one.group !== other.group) return false;
  const isOwn = other.levels[0]?.startsWith("$");
  if (isOwn && (one.levels[0] === "+" || one.levels[0] === "#")) return false;
  const restAt = one.levels.indexOf("#");
  if (restAt < 0 ? one.levels.length !== other.levels.length : other.levels.length < restAt) return false;
  const levels = restAt < 0 ? one.levels : one.levels.slice(0, restAt);
  return levels.every((level, index) => {
    const its = other.levels[index];
    return its !== "#" && (level === "+" || level === its);
  });
}

/** `$share/group/filter` is how a shared subscription is written; `group` is null for any other. */
function parsed(filter: string): { group: string | null; levels: string[] } {
  const levels = filter.split("/");
  if (levels[0] !== "$share" || levels.length < 3) return { group: null, levels };
  return { group: levels[1] ?? null, levels: levels.slice(2) };
}
