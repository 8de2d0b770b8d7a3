/**
 * Programs that check or make what is released, from the Go module proxy. The version is all there is to pin: Go checks
 * every module against its public checksum database.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, fillOnce } from "./cache_folder.ts";

const MODULES = {
  actionlint: "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12",
  // Newer ones depend on modules that not every proxy has.
  nfpm: "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.1",
} as const;

export type GoTool = keyof typeof MODULES;

/** null where it is not installed. */
export function findGoTool(tool: GoTool): string | null {
  const path = join(folderOf(tool), tool);
  return existsSync(path) ? path : null;
}

/** Rejects, with what to do, where it cannot be had. */
export async function installGoTool(tool: GoTool): Promise<void> {
  if (findGoTool(tool) !== null) return;
  await fillOnce(folderOf(tool), (folder) => build(tool, folder));
}

function folderOf(tool: GoTool): string {
  return join(cacheFolder(), `${tool}-${MODULES[tool].replace(/.*@/, "")}`);
}

async function build(tool: GoTool, folder: string): Promise<void> {
  try {
    const { success, stderr } = await new Deno.Command("go", {
      args: ["install", "-trimpath", MODULES[tool]],
      env: { GOBIN: folder, GOFLAGS: "" },
      stdin: "null",
    }).output();
    if (success) return;
    throw new Error(`go install failed: ${new TextDecoder().decode(stderr).trim()}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`there is no Go to build ${tool} with: install Go 1.25 or newer`);
  }
}
