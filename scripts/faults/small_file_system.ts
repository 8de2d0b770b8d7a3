/** A file system of a few megabytes, so that a full disk is a matter of milliseconds. */

import { TempFolder } from "../../tests/support/temp_folder.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const INTERRUPTED = 130;

export class SmallFileSystem implements Disposable {
  readonly #folder: TempFolder;
  readonly #onSignal = () => {
    this[Symbol.dispose]();
    Deno.exit(INTERRUPTED);
  };

  private constructor(folder: TempFolder) {
    this.#folder = folder;
    for (const name of SIGNALS) Deno.addSignalListener(name, this.#onSignal);
  }

  /** Answers with the reason where this machine or user cannot have one. */
  static mount(megabytes: number): SmallFileSystem | { refused: string } {
    if (Deno.build.os !== "linux") return { refused: "only Linux mounts a tmpfs" };
    if (Deno.uid() !== 0) return { refused: "only root may mount a tmpfs" };
    const folder = new TempFolder();
    const mounted = run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=755`, "tmpfs", folder.path]);
    if (mounted === null) return new SmallFileSystem(folder);
    folder[Symbol.dispose]();
    return { refused: mounted };
  }

  get path(): string {
    return this.#folder.path;
  }

  file(name: string): string {
    return this.#folder.file(name);
  }

  /** Takes the room that is left, but for so many bytes. */
  fill(bytesLeft: number): void {
    using ballast = Deno.openSync(this.#ballast, { create: true, append: true });
    const block = new Uint8Array(4_096);
    try {
      for (;;) ballast.writeSync(block);
    } catch {
      // That it is full is what was wanted.
    }
    const { size } = ballast.statSync();
    ballast.truncateSync(Math.max(0, size - bytesLeft));
  }

  free(): void {
    Deno.removeSync(this.#ballast);
  }

  remount(mode: "ro" | "rw"): void {
    const refused = run("mount", ["-o", `remount,${mode}`, this.path]);
    if (refused !== null) throw new Error(refused);
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) Deno.removeSignalListener(name, this.#onSignal);
    // Lazily: a process that was killed a moment ago may still hold a file.
    const refused = run("umount", ["-l", this.path]);
    if (refused !== null) throw new Error(`${this.path} is still mounted: ${refused}`);
    this.#folder[Symbol.dispose]();
  }

  get #ballast(): string {
    return this.file("ballast");
  }
}

/** Null where it worked, else why it did not. */
function run(program: string, args: string[]): string | null {
  try {
    const { success, stderr } = new Deno.Command(program, { args, stdin: "null" }).outputSync();
    return success ? null : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return `${program} cannot be run: ${error instanceof Error ? error.message : error}`;
  }
}
