/** Files and folders that cannot be written: one line, and nothing left behind. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { AgentRuns, alert, programOf } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import { refusedStart } from "./refused_start.ts";
import type { Circumstances } from "./scenario.ts";
import { SmallFileSystem } from "./small_file_system.ts";

const NOBODY = 65_534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];

export async function tryReadOnly(circumstances: Circumstances, findings: Findings): Promise<void> {
  await tryModes(circumstances, findings);
  await tryMount(circumstances, findings);
}

async function tryModes({ command }: Circumstances, findings: Findings): Promise<void> {
  using cache = new TempFolder();
  const env = { HOME: cache.path, ILAGENT_CACHE_DIR: cache.path };
  const wrapped = (program: readonly string[]) => [...AS_NOBODY, ...program];
  const obstacle = whyNotAsNobody(wrapped(programOf(command)), env);
  if (obstacle !== null) return findings.skip("disk.read_only.modes", obstacle);
  await using ilert = await IlertEmulator.start();
  for (const [what, restrict] of RESTRICTIONS) {
    using folder = new TempFolder();
    Deno.chownSync(folder.path, NOBODY, NOBODY);
    const file = folder.file("ilagent.db3");
    await using agent = await AgentRuns.of({ command, file, ilertUrl: ilert.url, env });
    await findings.attempt(`disk.read_only.${what}`, "refused in one line that names the file", async () => {
      await agent.spawn(wrapped).ready();
      await agent.kill();
      restrict(folder);
      const line = await refusedStart(agent, wrapped);
      assert.notEqual(line, null, "the agent starts on what it cannot write");
      assert.match(line ?? "", /ilagent\.db3/);
    });
  }
}

const RESTRICTIONS: readonly [string, (folder: TempFolder) => void][] = [
  ["file", (folder) => Deno.chmodSync(folder.file("ilagent.db3"), 0o400)],
  ["folder", (folder) => {
    // With the files it left: only then is it the folder that is missing a right, not a file.
    for (const { name } of Deno.readDirSync(folder.path)) Deno.removeSync(folder.file(name));
    Deno.chmodSync(folder.path, 0o500);
  }],
];

/** Root may write everywhere, so it has to become somebody else. Null where that works. */
function whyNotAsNobody(
  [program = "", ...args]: readonly string[],
  env: { ILAGENT_CACHE_DIR: string },
): string | null {
  if (Deno.build.os !== "linux") return "it takes Linux";
  if (Deno.uid() !== 0) return "it takes root to hand a folder to another user";
  Deno.chownSync(env.ILAGENT_CACHE_DIR, NOBODY, NOBODY);
  try {
    const { success, stderr } = new Deno.Command(program, {
      args: [...args, "--version"],
      env,
      stdin: "null",
    })
      .outputSync();
    if (success) return null;
    return `another user cannot run the agent: ${new TextDecoder().decode(stderr).trim().split("\n")[0]}`;
  } catch (error) {
    return `another user cannot run the agent: ${error}`;
  }
}

async function tryMount({ command }: Circumstances, findings: Findings): Promise<void> {
  const name = "disk.read_only.mount";
  const disk = SmallFileSystem.mount(6);
  if ("refused" in disk) return findings.skip(name, disk.refused);
  using small = disk;
  await using ilert = await IlertEmulator.start();
  await using agent = await AgentRuns.of({ command, file: small.file("ilagent.db3"), ilertUrl: ilert.url });
  await findings.attempt(
    name,
    "refused in one line, and the events go out once it can be written",
    async () => {
      await ilert.goDown();
      await agent.start();
      for (let n = 1; n <= 5; n++) assert.equal(await agent.postedStatus(alert(n, n)), 200);
      await agent.kill();
      small.remount("ro");
      const line = await refusedStart(agent);
      assert.notEqual(line, null, "the agent starts on what it cannot write");
      assert.match(line ?? "", /ilagent\.db3/);
      small.remount("rw");
      await ilert.comeBack();
      await agent.start();
      await ilert.waitFor(({ acceptedCount }) => acceptedCount === 5);
    },
  );
  await agent.kill();
}
