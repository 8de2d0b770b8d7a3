/**
 * libfaketime: sets the wall clock of one process, while it runs, without touching the machine's. Of the machine, else
 * Debian's package, unpacked into the cache folder.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, fillOnce } from "./cache_folder.ts";
import { libraryFolders, unpackDebianPackage } from "./debian_package.ts";

/** Of programs with several threads. */
const LIBRARY = "faketime/libfaketimeMT.so.1";

/** Path of the library to preload; null where there is none yet. */
export function findFaketime(): string | null {
  const candidates = ["/", unpackedFolder()].flatMap((root) => libraryFolders(root))
    .map((folder) => join(folder, LIBRARY));
  return candidates.find((path) => existsSync(path)) ?? null;
}

/** Rejects, with what to do, where there is none and it cannot be fetched. Only Linux has it. */
export async function installFaketime(): Promise<void> {
  if (Deno.build.os !== "linux" || findFaketime() !== null) return;
  await fillOnce(unpackedFolder(), (folder) => unpackDebianPackage("libfaketime", folder));
}

/** The wall clock of a process, as its environment; `shift` is read again at each look at the clock. */
export class FakeWallClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  private constructor(library: string, file: string) {
    this.#file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** Throws where the library is missing. */
  static in(folder: string): FakeWallClock {
    const library = findFaketime();
    if (library === null) throw new Error("libfaketime is not installed: deno task services install");
    const clock = new FakeWallClock(library, join(folder, "wall-clock"));
    clock.set(0);
    return clock;
  }

  /** Ahead of the machine's clock, or behind it. */
  set(seconds: number): void {
    Deno.writeTextFileSync(this.#file, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }
}

function unpackedFolder(): string {
  return join(cacheFolder(), "faketime");
}
