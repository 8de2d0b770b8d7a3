/**
 * The bundle is one file, so all of it is read at every start. What a mode does not use is not evaluated all the same:
 * the bundler keeps each module a function that runs when it is first imported. Here each of them says that it runs.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bundle } from "../../scripts/build/bundle.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MARK = "evaluated ";
const NOBODY = "http://127.0.0.1:1";
const CLIENTS = ["mqtt", "kafkajs", "yaml"];
const EDGE_KEY = { ILERT_EDGE_CONNECTOR_KEY: "il1edge123" };
const DAEMONS: { mode: string; flags: string[]; env?: Record<string, string>; used: string[] }[] = [
  { mode: "relay", flags: [], used: [] },
  { mode: "mqtt", flags: ["--mqtt_host", "127.0.0.1:1", "-e", "events"], used: ["mqtt"] },
  { mode: "kafka", flags: ["--kafka_brokers", "127.0.0.1:1", "-e", "events"], used: ["kafkajs"] },
  { mode: "edge-stdout", flags: ["--edge_mode", "stdout"], env: EDGE_KEY, used: [] },
  {
    mode: "edge-mqtt",
    flags: ["--edge_mode", "mqtt", "--mqtt_host", "127.0.0.1:1", "--edge_topic", "alerts"],
    env: EDGE_KEY,
    used: ["mqtt"],
  },
];

Deno.test("the bundle evaluates of Node's modules at its start only what every mode uses", async () => {
  const text = await Deno.readTextFile(`${ROOT}dist/ilagent.js`);
  const imported = [...text.matchAll(/\bimport\b[^"'()]*["'](node:[\w/]+)["']/g)].map(([, name]) => name!);
  assert.deepEqual([...new Set(imported)].sort(), ["node:path", "node:sqlite", "node:util"]);
});

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

  for (const { mode, flags, env = {}, used } of DAEMONS) {
    await test.step(`daemon ${mode}: ${used.join(", ") || "none"} of ${CLIENTS.join(", ")}`, async () => {
      const args = ["daemon", "-p", String(await freePort()), "-f", folder.file(`${mode}.db3`), ...flags];
      await using agent = AgentProcess.start({ command, args, env: { ILERT_API_HOST: NOBODY, ...env } });
      await agent.ready();
      await until(
        () => used.every((name) => packagesIn(said(agent)).includes(name)),
        `${used} are evaluated`,
      );
      await agent.stop();
      const packages = packagesIn(said(agent));
      assert.ok(packages.includes("@logtape/logtape"));
      assert.deepEqual(CLIENTS.filter((name) => packages.includes(name)), used);
    });
  }
});

/** The agent from a bundle that is not minified, whose modules each print a line on stderr when they are evaluated. */
async function telltale(folder: TempFolder): Promise<string[]> {
  const path = folder.file("telltale.js");
  await bundle("main.ts", path, ROOT, { minify: false });
  const text = (await Deno.readTextFile(path)).replace(
    /^ {2}"([^"\n]+)"\([^()\n]*\) \{$/gm,
    (start, module: string) =>
      `${start}Deno.stderr.writeSync(new TextEncoder().encode(${JSON.stringify(`${MARK}${module}\n`)}));`,
  );
  await Deno.writeTextFile(path, text);
  return [Deno.execPath(), "run", "--quiet", ...PERMISSION_FLAGS, ...ISOLATION_FLAGS, path];
}

function said(agent: AgentProcess): string {
  return agent.stderrLines.join("\n");
}

/** By the folders in which Deno keeps packages: `…/<registry>/[@scope/]<name>/<version>/`. */
function packagesIn(output: string): string[] {
  const names = [...output.matchAll(/^evaluated \S*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name]) =>
    name!
  );
  return [...new Set(names)];
}
