import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pinnedRuntime, type RuntimeSource } from "../../scripts/build/pinned_runtime.ts";
import pinned from "../../scripts/build/runtimes.json" with { type: "json" };
import { targetNamed } from "../../scripts/build/targets.ts";
import { TempFolder } from "../support/temp_folder.ts";

const TARGET = targetNamed("linux-arm64");
const PACKAGE = TARGET.runtimePackage;

Deno.test("pinnedRuntime() fetches a runtime once, checks it, and keeps it", async () => {
  using folder = new TempFolder();
  const archive = await archiveOf(folder, "the runtime");
  const source = sourceOf(archive, integrityOf(archive));
  for (let start = 0; start < 2; start++) {
    assert.equal(
      await Deno.readTextFile(await pinnedRuntime(TARGET, folder.path, source)),
      "the runtime",
    );
  }
  assert.deepEqual(source.fetched, [`${PACKAGE}@1.2.3`]);
});

Deno.test("pinnedRuntime() refuses an archive that is not the one on record, and keeps nothing of it", async () => {
  using folder = new TempFolder();
  const archive = await archiveOf(folder, "another runtime");
  const source = sourceOf(archive, "sha512-recorded");
  await assert.rejects(
    pinnedRuntime(TARGET, folder.path, source),
    /^Error: Cannot take Deno for linux-arm64: .*@1\.2\.3 is not the one on record, its checksum is sha512-/,
  );
  assert.equal(existsSync(join(folder.path, ".deno-1.2.3-linux-arm64.tgz")), false);
  assert.equal(existsSync(join(folder.path, ".deno-linux-arm64")), false);
});

Deno.test("pinnedRuntime() fetches a kept archive again that has been damaged", async () => {
  using folder = new TempFolder();
  const archive = await archiveOf(folder, "the runtime");
  const source = sourceOf(archive, integrityOf(archive));
  await Deno.writeTextFile(join(folder.path, ".deno-1.2.3-linux-arm64.tgz"), "damaged");
  assert.equal(await Deno.readTextFile(await pinnedRuntime(TARGET, folder.path, source)), "the runtime");
  assert.deepEqual(source.fetched, [`${PACKAGE}@1.2.3`]);
});

Deno.test("pinnedRuntime() says which checksum is missing, and fetches nothing", async () => {
  using folder = new TempFolder();
  const source = { ...sourceOf(new Uint8Array(), ""), integrity: {} };
  await assert.rejects(
    pinnedRuntime(TARGET, folder.path, source),
    /^Error: Cannot take Deno for linux-arm64: scripts\/build\/runtimes\.json has no checksum of .*npm view/,
  );
  assert.deepEqual(source.fetched, []);
});

Deno.test("runtimes.json names the Deno that the gate runs", async () => {
  assert.equal(pinned.version, Deno.version.deno);
  for (const path of [".ci/run", ".github/workflows/release.yml", "README.md"]) {
    const versions = (await Deno.readTextFile(new URL(`../../${path}`, import.meta.url))).matchAll(
      /\bdeno@(\d+\.\d+\.\d+)/g,
    );
    assert.deepEqual([...new Set([...versions].map(([, version]) => version))], [pinned.version], path);
  }
});

function sourceOf(archive: Uint8Array, integrity: string): RuntimeSource & { fetched: string[] } {
  const fetched: string[] = [];
  return {
    version: "1.2.3",
    integrity: { [PACKAGE]: integrity },
    fetched,
    async fetchPackage(spec, output) {
      fetched.push(spec);
      await Deno.writeFile(output, archive);
    },
  };
}

async function archiveOf(folder: TempFolder, runtime: string): Promise<Uint8Array> {
  await Deno.mkdir(folder.file("package"));
  await Deno.writeTextFile(folder.file("package/deno"), runtime);
  const { stdout } = await new Deno.Command("tar", { args: ["-cz", "-C", folder.path, "package"] }).output();
  await Deno.remove(folder.file("package"), { recursive: true });
  return stdout;
}

function integrityOf(bytes: Uint8Array): string {
  return `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
}
