/** How much the queue may hold. Beyond a bound nothing more is accepted; nothing is ever evicted. */

import type { RowCounts } from "../domain/ledger.ts";

export interface QueueLimits {
  eventsMax: number;
  /** Of the pages in use, indexes included. */
  bytesMax: number;
  deadLettersMax: number;
}

/** A row at its largest, with its index entries. */
const ROW_BYTES_MAX = 32 * 1024;
/** Rows written at most until the size of the file is looked up again. */
const UNMEASURED_ROWS_MAX = 256;

export interface NearestBound {
  /** From 0 to 1 and beyond. */
  fill: number;
  /** What it bounds, and the flag that sets it. */
  name: string;
}

export class Bounds {
  readonly #limits: QueueLimits;
  readonly #measure: () => number;
  #bytesUsed: number;
  #unmeasuredRows = 0;

  /** `measure` answers with the bytes in use. */
  constructor(limits: QueueLimits, measure: () => number) {
    this.#limits = limits;
    this.#measure = measure;
    this.#bytesUsed = measure();
  }

  /** Looks the size up as often as it takes to stop at the bound: each look costs as much as an event. */
  wrote(rows: number): void {
    this.#unmeasuredRows += rows;
    const roomForRows = (this.#limits.bytesMax - this.#bytesUsed) / ROW_BYTES_MAX;
    if (this.#unmeasuredRows < Math.min(UNMEASURED_ROWS_MAX, roomForRows)) return;
    this.#unmeasuredRows = 0;
    this.#bytesUsed = this.#measure();
  }

  /** Which bound is reached, as one clause; null while there is room. */
  reached({ queued, dead }: RowCounts): string | null {
    const { eventsMax, bytesMax } = this.#limits;
    if (queued >= eventsMax) return `the queue holds ${eventsMax} events (--queue_max_events)`;
    if (this.#bytesUsed >= bytesMax) {
      return `the queue's file has ${bytesMax} bytes in use (--queue_max_bytes)`;
    }
    return this.reachedByDead(dead);
  }

  reachedByDead(dead: number): string | null {
    const { deadLettersMax } = this.#limits;
    return dead < deadLettersMax ? null : `there are ${deadLettersMax} dead letters (--dead_letter_max)`;
  }

  nearest({ queued, dead }: RowCounts): NearestBound {
    const { eventsMax, bytesMax, deadLettersMax } = this.#limits;
    const bounds = [
      { fill: queued / eventsMax, name: "queue (--queue_max_events)" },
      { fill: this.#bytesUsed / bytesMax, name: "file (--queue_max_bytes)" },
      { fill: dead / deadLettersMax, name: "store of dead letters (--dead_letter_max)" },
    ];
    return bounds.reduce((nearest, bound) => bound.fill > nearest.fill ? bound : nearest);
  }
}
