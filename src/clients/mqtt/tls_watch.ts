/** The TLS files of a connection as they change: the last valid state of them is what counts. */

import type { Clock } from "../../runtime/clock.ts";
import type { TlsFiles } from "../../runtime/tls_files.ts";
import { readTlsMaterial, type TlsMaterial } from "../tls_material.ts";

export class TlsWatch {
  readonly #files: TlsFiles;
  readonly #clock: Clock;
  #current: TlsMaterial | null = null;
  #flaw: string | null = null;

  constructor(files: TlsFiles, clock: Clock) {
    this.#files = files;
    this.#clock = clock;
  }

  /** As last valid, the same object for as long as they do not change; null while they never were. */
  get current(): TlsMaterial | null {
    return this.#current;
  }

  /** What is wrong with the files as they are now. */
  get flaw(): string | null {
    return this.#flaw;
  }

  /** Reads the files again. Never rejects. */
  async refresh(): Promise<void> {
    const reading = await readTlsMaterial(this.#files, this.#clock.now());
    this.#flaw = reading.kind === "invalid" ? reading.reason : null;
    if (reading.kind === "valid" && !isSame(this.#current, reading.material)) {
      this.#current = reading.material;
    }
  }
}

function isSame(a: TlsMaterial | null, b: TlsMaterial): boolean {
  return a !== null && a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}
