/**
 * What a mode does not use is not evaluated: the bundler keeps each module a function that runs when it is first imported,
 * and the clients of brokers are modules of their own. Here each of them says that it runs.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { bundleProgram } from "../../scripts/build/bundle.ts";
import { MAIN_PART, PART_FILES, PARTS } from "../../scripts/build/parts.ts";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MARK = "evaluated ";
const NOBODY = "http://127.0.0.1:2";
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

Deno.test("the program evaluates of Node's modules at its start only what every mode uses", async () => {
  const parts = await Promise.all(PART_FILES.map((file) => Deno.readTextFile(`${ROOT}dist/program/${file}`)));
  const text = parts.join("\n");
  const imported = [...text.matchAll(/\bimport\b[^"'()]*["'](node:[\w/]+)["']/g)].map(([, name]) => name!);
  assert.deepEqual([...new Set(imported)].sort(), ["node:path", "node:sqlite", "node:util"]);
});

Deno.test("each part of the program has all names under which the sources import it", async () => {
  const sources = await Promise.all(
    (await filesBelow(join(ROOT, "src"))).map((path) => Deno.readTextFile(path)),
  );
  for (const { from, names } of PARTS.filter(({ from }) => !from.endsWith(".ts"))) {
    const clauses = sources.flatMap((text) => [
      ...text.matchAll(/^(?:im|ex)port (?!type)([^;]*?) from "([^"]+)";/gm),
      ...text.matchAll(/const (\{.*\}) = await import\("([^"]+)"\);/g),
    ]).filter(([, , specifier]) => specifier === from).map(([, clause]) => clause!);
    const [, named = ""] = /\{(.*)\}/s.exec(clauses.join(",").replace(/\}.*?\{/gs, ",")) ?? [];
    const values = named.split(",").map((name) => name.trim()).filter((name) => !/^type |^$/.test(name));
    const all = clauses.some((clause) => /^\w/.test(clause)) ? ["default", ...values] : values;
    assert.deepEqual([...new Set(all)].sort(), [...names].sort(), from);
  }
});

Deno.test("ilagent evaluates in each mode only what that mode uses", async (test) => {
  using folder = new TempFolder();
  const command = await telltale(folder);

  await test.step("--version: no package", async () => {
    const { stdout, stderr } = await runAgent(["--version"], { command });
    assert.match(stdout, /^ilagent \d/);
    assert.deepEqual(packagesIn(stderr), []);
    assert.deepEqual(partsIn(stderr), [MAIN_PART, "command.js"]);
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

/** The agent from parts that are not minified, whose modules each print a line on stderr when they are evaluated. */
async function telltale(folder: TempFolder): Promise<string[]> {
  const program = folder.file("program");
  await bundleProgram(program, ROOT, { minify: false });
  for (const file of PART_FILES) {
    const path = join(program, file);
    const telling = (name: string) =>
      `Deno.stderr.writeSync(new TextEncoder().encode(${JSON.stringify(`${MARK}${name}\n`)}));`;
    const text = (await Deno.readTextFile(path)).replace(
      /^ {2}(?:async )?"([^"\n]+)"\([^()\n]*\) \{$/gm,
      (start, module: string) => `${start}${telling(module)}`,
    );
    await Deno.writeTextFile(path, `${telling(`part ${file}`)}\n${text}`);
  }
  return [
    Deno.execPath(),
    "run",
    "--quiet",
    ...PERMISSION_FLAGS,
    ...ISOLATION_FLAGS,
    join(program, MAIN_PART),
  ];
}

async function filesBelow(folder: string): Promise<string[]> {
  const found = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    found.push(...(isDirectory ? await filesBelow(join(folder, name)) : [join(folder, name)]));
  }
  return found;
}

function said(agent: AgentProcess): string {
  return agent.stderrLines.join("\n");
}

function partsIn(output: string): string[] {
  return [...output.matchAll(/^evaluated part (\S+)$/gm)].map(([, file]) => file!);
}

/** By the folders in which Deno keeps packages: `…/<registry>/[@scope/]<name>/<version>/`. */
function packagesIn(output: string): string[] {
  const names = [...output.matchAll(/^evaluated \S*\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name]) =>
    name!
  );
  const whole = PARTS.filter(({ file, from }) => !from.endsWith(".ts") && partsIn(output).includes(file));
  return [...new Set([...names, ...whole.map(({ from }) => from)])];
}
