import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bundle } from "../../scripts/build/bundle.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";

/** Runs the hostile agent, bundled and started exactly as the built file starts the real one. */
async function hostile(deed: string, folder: ScriptFolder) {
  const apiHost = "http://127.0.0.1:9";
  const output = folder.file("hostile.js");
  const root = fileURLToPath(new URL("../../", import.meta.url));
  await bundle(`${root}tests/jail/hostile_main.ts`, output, root);
  const targets = [folder.file("ilagent.db3"), apiHost, folder.file("script.sh"), KILL_PROGRAM];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...PERMISSION_FLAGS, ...ISOLATION_FLAGS, output, deed, ...targets],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

for (
  const [deed, line] of [
    ["throw", /^ilagent: the agent failed: boom$/],
    ["reject", /^ilagent: the agent failed: rejected$/],
    ["exit", /^ilagent: the agent has not answered for \d+ s and was ended; queued events are kept$/],
    ["block", /^ilagent: the agent has not answered for \d+ s and was ended; queued events are kept$/],
    ["throw beside a script", /^ilagent: the worker that runs the script failed: boom$/],
    ["reject beside a script", /^ilagent: the worker that runs the script failed: rejected$/],
    [
      "exit beside a script",
      /^ilagent: the worker that runs the script has not answered for \d+ s; is the script on a disk that hangs\?$/,
    ],
  ] as const
) {
  Deno.test(`a worker that does '${deed}' ends the process with 1 and one clear line`, async () => {
    using folder = new ScriptFolder();
    const { code, stderr } = await hostile(deed, folder);
    assert.equal(code, 1);
    const lines = stderr.trim().split("\n");
    assert.match(lines.at(-1) ?? "", line);
    assert.equal(lines.filter((one) => /^\s+at |Uncaught|error:/.test(one)).length, 0, stderr);
  });
}
