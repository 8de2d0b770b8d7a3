/** What surrounds the built files of a release in one folder: SBOM, installer, checksums. */

import { join } from "node:path";
import { sha256 } from "../build/self_extracting.ts";

const SUMS = "SHA256SUMS";
const INSTALLER = "install.sh";

export interface ReleaseFacts {
  version: string;
  /** Where the files of this release are downloaded from, without a slash at the end. */
  url: string;
  installerTemplate: string;
  sbom: unknown;
}

/** Everything that lies in `folder` is part of the release, and gets a line in `SHA256SUMS`. */
export async function writeAssets(folder: string, facts: ReleaseFacts): Promise<void> {
  await Deno.writeTextFile(join(folder, "ilagent.cdx.json"), `${JSON.stringify(facts.sbom, null, 2)}\n`);
  for (const name of [INSTALLER, SUMS]) await removeIfThere(join(folder, name));
  await Deno.writeTextFile(join(folder, INSTALLER), installer(facts, await sumsOf(folder)), { mode: 0o755 });
  await Deno.writeTextFile(join(folder, SUMS), await sumsOf(folder));
}

/** The installer carries the sums itself, so that it trusts neither the network nor a mirror. */
export function installer({ installerTemplate, version, url }: ReleaseFacts, sums: string): string {
  if (!/^https?:\/\/[\w.:/%~-]+$/.test(url)) {
    throw new Error(`Cannot write ${INSTALLER}: ${url} is not a plain URL`);
  }
  return installerTemplate.replaceAll("@VERSION@", version).replaceAll("@URL@", url)
    .replaceAll("@SUMS@", sums.trimEnd());
}

/** As `sha256sum` prints them, by name. */
async function sumsOf(folder: string): Promise<string> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  const lines = await Promise.all(
    names.map(async (name) => `${sha256(await Deno.readFile(join(folder, name)))}  ${name}\n`),
  );
  return lines.join("");
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
