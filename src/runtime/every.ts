import type { Clock } from "./clock.ts";

/** Calls back again and again until it is disposed of. */
export function every(intervalMs: number, clock: Clock, callback: () => void): Disposable {
  let cancel = () => {};
  const arm = () => {
    cancel = clock.after(intervalMs, () => {
      arm();
      callback();
    });
  };
  arm();
  return { [Symbol.dispose]: () => cancel() };
}
