/** Where the brokers' programs lie: outside the repository, shared by all its work trees. */

import { existsSync } from "node:fs";
import { join } from "node:path";

export function cacheFolder(): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") || join(Deno.env.get("HOME") ?? Deno.cwd(), ".cache");
  return join(cache, "ilagent-services");
}

/**
 * Fills `folder` in one step, so that a broken-off installation is never taken for a whole one. `fill` writes into the
 * folder it is given. Two that install the same at the same time both succeed.
 */
export async function fillOnce(folder: string, fill: (empty: string) => Promise<void>): Promise<void> {
  await Deno.mkdir(cacheFolder(), { recursive: true });
  const draft = await Deno.makeTempDir({ dir: cacheFolder(), prefix: "draft-" });
  try {
    await fill(draft);
    // Readable for a broker that runs as another user.
    await Deno.chmod(draft, 0o755);
    await Deno.rename(draft, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await Deno.remove(draft, { recursive: true }).catch((error: unknown) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
