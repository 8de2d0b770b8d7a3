import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PART_FILES } from "../../scripts/build/parts.ts";
import { sha256 } from "../../scripts/build/self_extracting.ts";
import { TempFolder } from "../support/temp_folder.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NEEDED = ["main.ts", "deno.json", "deno.lock", "src", "scripts"];

Deno.test("build.ts makes byte-identical files of one commit, wherever, by whomever and whenever it runs", async () => {
  using folder = new TempFolder();
  const first = await buildIn(folder.file("first"), { TZ: "UTC", LANG: "C" }, "022");
  const second = await buildIn(
    folder.file("in another/place"),
    { TZ: "Asia/Tokyo", LANG: "de_DE.UTF-8" },
    "077",
  );
  assert.deepEqual(second, first);
});

async function buildIn(copy: string, env: Record<string, string>, umask: string): Promise<string[]> {
  await Deno.mkdir(join(copy, "dist"), { recursive: true });
  for (const name of NEEDED) await run("cp", ["-R", join(ROOT, name), join(copy, name)]);
  // Compressing Deno takes seconds; that it gives the same bytes each time is self_extracting_test.ts's to show.
  for (const { name } of Deno.readDirSync(join(ROOT, "dist"))) {
    if (name.startsWith(".runtime-")) await Deno.copyFile(join(ROOT, "dist", name), join(copy, "dist", name));
  }
  const build = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--allow-all",
    "scripts/build.ts",
    "--form",
    "self-extracting",
  ];
  await run("sh", ["-c", 'umask "$0" && exec "$@"', umask, ...build], { cwd: copy, env });
  return await Promise.all(
    ["ilagent", ...PART_FILES.map((file) => join("program", file))]
      .map(async (name) => sha256(await Deno.readFile(join(copy, "dist", name)))),
  );
}

async function run(program: string, args: string[], options: Deno.CommandOptions = {}): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { ...options, args, stdout: "null" }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
