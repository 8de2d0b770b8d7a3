/** Rowids in line, first in, first out; 8 bytes for each, where an object would take a hundred. */

/** So many places are given up at the front before the rest moves there. */
const UNUSED_MAX = 1_024;

export class RowidLine {
  #rowids: number[] = [];
  #first = 0;

  get length(): number {
    return this.#rowids.length - this.#first;
  }

  /** Infinity where nobody is in line. */
  get first(): number {
    return this.#rowids[this.#first] ?? Infinity;
  }

  push(rowid: number): void {
    this.#rowids.push(rowid);
  }

  /** To the front of the line. */
  unshift(rowid: number): void {
    if (this.#first > 0) this.#rowids[--this.#first] = rowid;
    else this.#rowids.unshift(rowid);
  }

  shift(): number | undefined {
    if (this.#first === this.#rowids.length) return undefined;
    const rowid = this.#rowids[this.#first++];
    if (this.#first > UNUSED_MAX && this.#first * 2 > this.#rowids.length) {
      this.#rowids = this.#rowids.slice(this.#first);
      this.#first = 0;
    }
    return rowid;
  }
}
