/** How a demo tells its story: a line for each act, with the seconds since it began. */

export type Say = (text: string) => void;

export function storyteller(): Say {
  const startedAt = performance.now();
  return (text) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${text}`);
}
