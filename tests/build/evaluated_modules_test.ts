/**
 * The bundle is one file, so all of it is read at every start. What a mode does not use is not evaluated all the same:
 * the bundler keeps each module a function that runs when it is first imported. Here each of them says that it runs.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { TempFolder } from "../support/temp_folder.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MARK = "evaluated ";

Deno.test("ilagent evaluates in each mode only what that mode uses", async (test) => {
  using folder = new TempFolder();
  const command = await telltale(folder);

  await test.step("--version: no package", async () => {
    const { stdout, stderr } = await runAgent(["--version"], { command });
    assert.match(stdout, /^ilagent \d/);
    assert.deepEqual(packagesIn(stderr), []);
    assert.ok(stderr.includes(`${MARK}src/commands/run.ts`), "the modules do tell");
  });

  await test.step("event: neither a package nor the queue", async () => {
    const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
    await using ilert = Deno.serve(options, () => Response.json({}, { status: 202 }));
    const env = { ILERT_API_HOST: `http://127.0.0.1:${ilert.addr.port}` };
    const args = ["event", "-k", "il1api123", "-t", "ALERT", "-s", "Disk full"];
    const { code, stderr } = await runAgent(args, { command, env });
    assert.equal(code, 0, stderr);
    assert.deepEqual(packagesIn(stderr), []);
    assert.ok(stderr.includes(`${MARK}src/ilert/api.ts`));
    assert.ok(!stderr.includes(`${MARK}src/queue/sqlite_queue.ts`));
  });

  await test.step("relay without brokers: no client of a broker", async () => {
    const args = ["daemon", "-p", String(await freePort()), "-f", folder.file("ilagent.db3")];
    await using agent = AgentProcess.start({ command, args });
    await agent.ready();
    await agent.stop();
    const packages = packagesIn(agent.stderrLines.join("\n"));
    for (const used of ["prom-client", "@logtape/logtape"]) assert.ok(packages.includes(used), used);
    for (const unused of ["mqtt", "mqtt-packet", "kafkajs", "yaml"]) {
      assert.ok(!packages.includes(unused), `${unused} among ${packages}`);
    }
  });
});

/** The agent from a bundle that is not minified, whose modules each print a line on stderr when they are evaluated. */
async function telltale(folder: TempFolder): Promise<string[]> {
  const path = folder.file("telltale.js");
  const bundle = new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", "--output", path, "main.ts"],
    cwd: ROOT,
  });
  const { success, stderr } = await bundle.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const text = (await Deno.readTextFile(path)).replace(
    /^ {2}"([^"\n]+)"\([^()\n]*\) \{$/gm,
    (start, module: string) =>
      `${start}Deno.stderr.writeSync(new TextEncoder().encode(${JSON.stringify(`${MARK}${module}\n`)}));`,
  );
  await Deno.writeTextFile(path, text);
  return [Deno.execPath(), "run", "--quiet", ...PERMISSION_FLAGS, ...ISOLATION_FLAGS, path];
}

/** By the folders in which Deno keeps packages: `…/<registry>/[@scope/]<name>/<version>/`. */
function packagesIn(output: string): string[] {
  const names = [...output.matchAll(/^evaluated \S*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name]) =>
    name!
  );
  return [...new Set(names)];
}
