import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { findGoTool } from "../../scripts/services/go_tools.ts";
import { TARGETS } from "../../scripts/build/targets.ts";
import { toolTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";

const FOLDER = fileURLToPath(new URL("../../.github/workflows/", import.meta.url));
const WORKFLOWS = [...Deno.readDirSync(FOLDER)].map(({ name }) => `${FOLDER}${name}`);

toolTest("the workflows pass actionlint", { needs: ["actionlint"] }, async () => {
  assert.deepEqual(await lint(WORKFLOWS), { code: 0, output: "" });

  using folder = new TempFolder();
  await Deno.writeTextFile(
    folder.file("wrong.yml"),
    "on: push\njobs: { a: { runs-on: ubuntu-latest, stepz: [] } }\n",
  );
  assert.match((await lint([folder.file("wrong.yml")])).output, /stepz/);
});

Deno.test("the workflows name every action by its commit, with the version beside it", async () => {
  const lines = (await Promise.all(WORKFLOWS.map((path) => Deno.readTextFile(path)))).join("\n").split("\n");
  const uses = lines.filter((line) => /^\s*-?\s*uses:/.test(line));
  assert.ok(uses.length > 0);
  for (const line of uses) assert.match(line, /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

Deno.test("the release workflow builds every target, and gives each job only the rights it names", async () => {
  const release = await Deno.readTextFile(`${FOLDER}release.yml`);
  const built = [...release.matchAll(/target: ([\w-]+),/g)].map(([, name]) => name);
  assert.deepEqual(built, TARGETS.map(({ name }) => name));
  assert.match(release, /^permissions:\n {2}contents: read\n\n/m);
});

/** Without the linters of other languages that a machine may or may not have. */
async function lint(paths: string[]): Promise<{ code: number; output: string }> {
  const { code, stdout, stderr } = await new Deno.Command(findGoTool("actionlint")!, {
    args: ["-no-color", "-shellcheck=", "-pyflakes=", ...paths],
  }).output();
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}
