/** Lines to a stream that may stall: bounded, asynchronous, counted when dropped. */

export interface ByteSink {
  write(bytes: Uint8Array): Promise<number>;
}

/** What may wait for a reader that does not read; beyond it lines are dropped and counted. */
const WAITING_CHARACTERS_MAX = 1_048_576;

/**
 * A pipe nobody reads must not stop an alert: lines wait in memory up to a bound while one write is under way.
 * `console` would block the thread instead.
 */
export class LineWriter {
  readonly #sink: ByteSink;
  readonly #encoder = new TextEncoder();
  #waiting = "";
  #dropped = 0;
  #writing: Promise<void> | null = null;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** `line` without its newline. */
  write(line: string): void {
    if (this.#waiting.length + line.length > WAITING_CHARACTERS_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting += line + "\n";
    this.#writing ??= this.#drain().finally(() => this.#writing = null);
  }

  /** Resolves when all is written, or after `timeoutMs` where the reader has stalled. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#writing === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
    await Promise.race([this.#writing, timeout]);
    clearTimeout(timer);
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting !== "") {
      let bytes = this.#encoder.encode(this.#waiting);
      this.#waiting = "";
      try {
        while (bytes.length > 0) bytes = bytes.subarray(await this.#sink.write(bytes));
      } catch {
        // The reader is gone and so is the only place to say so; what was written is counted as dropped.
        this.#dropped++;
        return;
      }
      if (this.#dropped > 0 && this.#waiting === "") {
        this.#waiting = `ilagent: ${this.#dropped} log writes were dropped because nobody read them\n`;
        this.#dropped = 0;
      }
    }
  }
}
