import assert from "node:assert/strict";
import { type Lock, sbomOf } from "../../scripts/release/sbom.ts";

const FACTS = {
  version: "1.2.3",
  denoVersion: "2.0.0",
  timestamp: "2026-01-01T00:00:00.000Z",
  direct: { "@scope/client": "1.0.0", "tester": "2.0.0" },
  shipped: ["@scope/client"],
};
const LOCK: Lock = {
  npm: {
    "@scope/client@1.0.0_peer@1.0.0": { integrity: "sha512-AQID", dependencies: ["deep", "twice@2.0.0"] },
    "deep@3.0.0": { integrity: "sha512-/w==", dependencies: ["twice@1.0.0", "deep"] },
    "tester@2.0.0": { integrity: "sha512-AA==" },
    "twice@1.0.0": { integrity: "sha512-AA==" },
    "twice@2.0.0": { integrity: "sha512-AA==" },
  },
};

Deno.test("sbomOf() tells what is shipped from what only builds and tests", () => {
  const scopes = Object.fromEntries(sbomOf(LOCK, FACTS).components.map(({ purl, scope }) => [purl, scope]));
  assert.deepEqual(scopes, {
    "pkg:npm/deno@2.0.0": "required",
    "pkg:npm/%40scope/client@1.0.0": "required",
    "pkg:npm/deep@3.0.0": "required",
    "pkg:npm/tester@2.0.0": "excluded",
    "pkg:npm/twice@1.0.0": "required",
    "pkg:npm/twice@2.0.0": "required",
  });
});

Deno.test("sbomOf() has the checksums of the lock file, in hexadecimal", () => {
  const hashes = sbomOf(LOCK, FACTS).components.flatMap(({ hashes }) => hashes ?? []);
  assert.deepEqual(hashes.slice(0, 2).map(({ content }) => content), ["010203", "ff"]);
});

Deno.test("sbomOf() refuses a lock file that lacks a package", () => {
  assert.throws(
    () => sbomOf({ npm: {} }, FACTS),
    /^Error: Cannot write an SBOM: deno\.lock has no @scope\/client@1/,
  );
});

Deno.test("sbomOf() of this project names every package once, and leads from each to others that are there", async () => {
  const lock = JSON.parse(await Deno.readTextFile(new URL("../../deno.lock", import.meta.url)));
  const direct = { mqtt: "5.16.0", kafkajs: "2.2.4" };
  const { components, dependencies, metadata } = sbomOf(lock, { ...FACTS, direct, shipped: ["mqtt"] });
  const refs = new Set([...components, metadata.component].map((component) => component["bom-ref"]));
  assert.equal(refs.size, components.length + 1);
  assert.equal(components.length, Object.keys(lock.npm).length + 1);
  for (const { ref, dependsOn } of dependencies) {
    for (const name of [ref, ...dependsOn]) assert.ok(refs.has(name), name);
  }
  for (const { hashes } of components) {
    for (const { content } of hashes ?? []) assert.match(content, /^[0-9a-f]{128}$/);
  }
});
