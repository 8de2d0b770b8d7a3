/**
 * A broker that does not set TCP_NODELAY (Mosquitto, by default) sends one small packet, such as the first
 * acknowledgement of a burst or the answer to an earlier ping, and keeps what follows until its TCP has heard from
 * ours, which has nothing to say and so waits 40 ms. A ping says it.
 */

import type { Clock } from "../../runtime/clock.ts";

export interface Nudged {
  /** Whether acknowledgements are still to come. */
  areDue(): boolean;
  ping(): void;
}

/** Without an acknowledgement while some are due; after each ping twice as long, for a broker that is really slow. */
const NUDGE_MS = 2, NUDGE_MS_MAX = 32;

export class Nudges {
  readonly #clock: Clock;
  readonly #nudged: Nudged;
  #answers = 0;
  #isPending = false;
  #cancel = () => {};

  constructor(clock: Clock, nudged: Nudged) {
    this.#clock = clock;
    this.#nudged = nudged;
  }

  /** A publish has left that is to be acknowledged. */
  begin(afterMs = NUDGE_MS): void {
    if (this.#isPending || !this.#nudged.areDue()) return;
    this.#isPending = true;
    const answers = this.#answers;
    this.#cancel = this.#clock.after(afterMs, () => {
      this.#isPending = false;
      if (this.#answers > answers) return this.begin();
      this.#nudged.ping();
      // The first may have crossed a packet on its way to us, and said nothing of it.
      if (afterMs < NUDGE_MS_MAX) this.begin(2 * afterMs);
    });
  }

  /** One was acknowledged. */
  answered(): void {
    this.#answers++;
    if (this.#nudged.areDue()) this.begin();
    else this.end();
  }

  end(): void {
    this.#isPending = false;
    this.#cancel();
  }
}
