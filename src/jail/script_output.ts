/** What a script writes, cut to what a log can take. */

/** Of one run, both streams together. */
const BYTES_MAX = 65_536;
const LINES_MAX = 200;
/** A longer line is cut. */
const LINE_BYTES_MAX = 1_000;

const NEWLINE = 10;

/** What would move the cursor of a terminal or start a line that looks like the agent's own. */
// deno-lint-ignore no-control-regex
const CONTROL_CHARACTERS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g;

export class ScriptOutput {
  readonly lines: string[] = [];
  droppedBytes = 0;
  #bytesLeft = BYTES_MAX;
  readonly #decoder = new TextDecoder();

  /** One for each stream, so that their lines do not mix; `end` keeps a last line without its newline. */
  stream(): { take(bytes: Uint8Array): void; end(): void } {
    const line = new Uint8Array(LINE_BYTES_MAX);
    let length = 0;
    let isCut = false;
    const append = (bytes: Uint8Array) => {
      const kept = bytes.subarray(0, Math.min(LINE_BYTES_MAX - length, this.#room()));
      line.set(kept, length);
      length += kept.length;
      isCut ||= kept.length < bytes.length;
      this.#bytesLeft -= kept.length;
      this.droppedBytes += bytes.length - kept.length;
    };
    const end = () => {
      this.#keep(line.subarray(0, length), isCut ? "…" : "");
      length = 0;
      isCut = false;
    };
    return {
      take: (bytes) => {
        let rest = bytes;
        // Beyond the bounds no line is looked for any more: a flood costs little more than its reading.
        while (this.#room() > 0) {
          const at = rest.indexOf(NEWLINE);
          if (at < 0) break;
          append(rest.subarray(0, at));
          end();
          this.#bytesLeft--;
          rest = rest.subarray(at + 1);
        }
        append(rest);
      },
      end,
    };
  }

  #room(): number {
    return this.lines.length >= LINES_MAX ? 0 : Math.max(0, this.#bytesLeft);
  }

  #keep(bytes: Uint8Array, mark: string): void {
    if (this.lines.length >= LINES_MAX) {
      this.droppedBytes += bytes.length;
      return;
    }
    const text = this.#decoder.decode(bytes).trimEnd().replace(CONTROL_CHARACTERS, "\ufffd");
    if (text !== "") this.lines.push(text + mark);
  }
}
