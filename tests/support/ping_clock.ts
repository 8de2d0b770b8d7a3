import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import type { FakeClock } from "./fake_clock.ts";

/** Those of the keep-alive: half of its 5 s. */
const PING_TIMER_MS = 2_500;

/** Time that moves only when told to, except for pings: they need the time that a broker takes to answer. */
export function withRealPings(clock: FakeClock): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (delayMs, callback) => (delayMs === PING_TIMER_MS ? systemClock : clock).after(delayMs, callback),
  };
}
