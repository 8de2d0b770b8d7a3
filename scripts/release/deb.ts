/** The `.deb` of one built file, made by nfpm from `scripts/packaging/debian/nfpm.yaml`. */

import { join, resolve } from "node:path";
import { runQuietly } from "../build/deno.ts";
import { findGoTool } from "../services/go_tools.ts";

const TIMEOUT_MS = 120_000;

export interface DebParts {
  /** The project's root. */
  root: string;
  binary: string;
  version: string;
  arch: "amd64" | "arm64";
  /** What every file in it is dated, so that equal inputs give equal packages. */
  epochSeconds: number;
  folder: string;
}

/** Answers the path of the package. */
export async function writeDeb(parts: DebParts): Promise<string> {
  const nfpm = findGoTool("nfpm");
  if (nfpm === null) throw new Error("nfpm is not installed: deno task services install nfpm");
  const output = resolve(parts.folder, `ilagent_${parts.version}_${parts.arch}.deb`);
  const outcome = await runQuietly(
    ["package", "-f", join("scripts", "packaging", "debian", "nfpm.yaml"), "-p", "deb", "-t", output],
    {
      program: nfpm,
      cwd: parts.root,
      timeoutMs: TIMEOUT_MS,
      env: {
        VERSION: parts.version,
        ARCH: parts.arch,
        BINARY: resolve(parts.binary),
        SOURCE_DATE_EPOCH: String(parts.epochSeconds),
      },
    },
  );
  if (outcome.kind !== "ok") {
    throw new Error(
      `Cannot make ${output}: ${outcome.kind === "failed" ? outcome.stderr.trim() : "timed out"}`,
    );
  }
  return output;
}
