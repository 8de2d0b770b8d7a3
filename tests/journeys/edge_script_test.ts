/** The built edge connector and the scripts it has run. */

import assert from "node:assert/strict";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { isAlive, KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";
import { until } from "../support/until.ts";

const CONNECTOR_KEY = "iec1-script-journey";

/** The example of the edge connector's page, with a path of its own. */
const EXAMPLE = (jsonl: string) => `#!/usr/bin/env bash\nPAYLOAD=$(cat)\necho "$PAYLOAD" >> ${jsonl}`;

interface Connector extends AsyncDisposable {
  ilert: IlertEmulator;
  folder: ScriptFolder;
  script: string;
  start(...flags: string[]): Promise<AgentProcess>;
}

/** `lines` are the script's. */
async function connector(lines: string): Promise<Connector> {
  const folder = new ScriptFolder();
  const ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  const script = folder.write(lines);
  const agents: AgentProcess[] = [];
  return {
    ilert,
    folder,
    script,
    async start(...flags) {
      const port = await freePort();
      const agent = AgentProcess.start({
        command: "built",
        args: [
          ...["daemon", "-v", "-v", "-p", `${port}`, "--host", "127.0.0.1", "-f", folder.file("ilagent.db3")],
          ...["--edge_mode", "script", "--edge_script", script, ...flags],
        ],
        env: {
          ILERT_API_HOST: ilert.url,
          ILERT_HEARTBEAT_HOST: ilert.url,
          ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY,
        },
        cwd: folder.path,
      });
      agents.push(agent);
      await agent.ready();
      return agent;
    },
    async [Symbol.asyncDispose]() {
      for (const agent of agents) await agent[Symbol.asyncDispose]();
      await ilert[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

Deno.test("the page's example script gets every event in order, once, under the page's full example command", async () => {
  await using all = await connector("");
  all.folder.write(EXAMPLE(all.folder.file("events.jsonl")));
  for (let n = 1; n <= 150; n++) all.ilert.edge.add(edgePayload(n));
  const agent = await all.start(
    ...["-b", "il1hbt-journey", "--edge_cluster_id", "prod-cluster", "--edge_instance_id", "node-1"],
    ...["--edge_poll_interval", "15"],
  );
  const delivered = () => all.folder.text("events.jsonl").split("\n").slice(0, -1);
  await until(() => delivered().length >= 150, "all events are delivered", 30_000);
  assert.deepEqual(
    delivered().map((line) => JSON.parse(line)),
    Array.from({ length: 150 }, (_, at) => edgePayload(at + 1)),
  );
  await all.ilert.waitFor(({ requests }) =>
    requests.some(({ path }) => path === "/api/heartbeats/il1hbt-journey")
  );
  const ready = await fetch(`${agent.url}/ready`);
  await ready.body?.cancel();
  assert.equal(ready.status, 204);
  assert.equal(await agent.stop(), 0);
  assert.equal(delivered().length, 150);
});

Deno.test("a script sees the event's variables and the given ones, and none of the agent's", async () => {
  await using all = await connector("env > environment; echo >> environment; echo done > done");
  all.ilert.edge.add({
    eventType: "alert-created",
    id: 9007199254740991,
    timestamp: "2026-05-04T10:00:00.000Z",
  });
  const agent = await all.start("--edge_script_env", "TARGET=a=b c", "--edge_script_env", "MODE=x");
  await until(() => all.folder.has("done"), "the script has run", 20_000);
  const names = all.folder.text("environment").split("\n").filter((line) => line !== "");
  assert.deepEqual(
    // What the shell itself adds.
    names.filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line)).sort(),
    [
      "ILERT_ALERT_ID=9007199254740991",
      "ILERT_EDGE_ITEM_ID=1",
      "ILERT_EVENT_TYPE=alert-created",
      "ILERT_TIMESTAMP=2026-05-04T10:00:00.000Z",
      "MODE=x",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "TARGET=a=b c",
    ],
  );
  assert.equal(await agent.stop(), 0);
});

Deno.test("what a script writes is logged, and one that fails keeps its event until it succeeds", async () => {
  await using all = await connector(
    '[ -e fixed ] || { echo "no such host" >&2; exit 3; }\necho "sent $ILERT_ALERT_ID"; echo >> done',
  );
  all.ilert.edge.add(edgePayload(1));
  const agent = await all.start("--edge_poll_interval", "5");
  assert.match(await agent.waitForLine(/no such host/), /WARNING +Script, item 1: no such host$/);
  await agent.waitForLine(/the script ended with exit code 3/);
  await until(
    async () => (await (await fetch(`${agent.url}/ready`)).text()).includes("exit code 3"),
    "/ready",
  );
  Deno.writeTextFileSync(all.folder.file("fixed"), "");
  assert.match(await agent.waitForLine(/sent 1/, 20_000), /INFO +Script, item 1: sent 1$/);
  assert.equal(await agent.stop(), 0);
  assert.equal(all.folder.text("done"), "\n");
});

Deno.test("SIGTERM lets the script in hand end, and its event is not delivered again", async () => {
  await using all = await connector(
    "echo $ILERT_EDGE_ITEM_ID >> started; while [ ! -e go ]; do sleep 0.01; done; echo $ILERT_EDGE_ITEM_ID >> done",
  );
  all.ilert.edge.add(edgePayload(1));
  all.ilert.edge.add(edgePayload(2));
  const agent = await all.start();
  await until(() => all.folder.has("started"), "the script runs", 20_000);
  agent.signal("SIGTERM");
  await agent.waitForLine(/Shutting down/);
  Deno.writeTextFileSync(all.folder.file("go"), "");
  assert.equal((await agent.exit).code, 0);
  assert.equal(all.folder.text("done"), "1\n");

  const next = await all.start();
  await until(() => all.folder.text("done") === "1\n2\n", "the next event", 20_000);
  assert.equal(await next.stop(), 0);
  assert.equal(all.folder.text("started"), "1\n2\n");
});

for (const [what, signals] of [["the shutdown's time is over", 1], ["a second signal comes", 2]] as const) {
  Deno.test(`a script that does not end is killed with its processes when ${what}`, async () => {
    await using all = await connector("trap '' TERM INT; sleep 600 & echo $! > child; wait; sleep 600");
    all.ilert.edge.add(edgePayload(1));
    const agent = await all.start("--shutdown_timeout", signals === 1 ? "1" : "35");
    await until(() => all.folder.has("child"), "the script runs", 20_000);
    agent.signal("SIGTERM");
    await agent.waitForLine(/Shutting down/);
    if (signals === 2) {
      // What comes sooner is taken for the same signal.
      await until(() => {
        agent.signal("SIGTERM");
        return agent.lines.some((line) => /second SIGTERM/.test(line));
      }, "the second signal is taken");
    }
    assert.equal((await agent.exit).code, signals - 1);
    assert.equal(await isAlive(all.folder.pid("child")), false);
  });
}

Deno.test("permissions shows in script mode what the second worker may run, beside the agent's own rights", async () => {
  using folder = new ScriptFolder();
  const script = folder.write("exit 0");
  const env = { ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY };
  const args = ["permissions", "--edge_mode", "script", "--edge_script", script, "-f", "/var/lib/a.db3"];
  const shown = await runAgent([...args, "--json"], { command: "built", env });
  const { net, scriptWorker } = JSON.parse(shown.stdout);
  assert.deepEqual(net, ["api.ilert.com:443"]);
  assert.deepEqual(scriptWorker, {
    run: [script, KILL_PROGRAM],
    denoFlags: [`--allow-run=${script},${KILL_PROGRAM}`],
  });
  const { stdout } = await runAgent(args, { command: "built", env });
  assert.match(stdout, new RegExp(`^run {6}${script}, ${KILL_PROGRAM} \\(by a second worker`, "m"));
  assert.match(stdout, /^denied {3}everything else: .*other programs/m);
});

Deno.test("a script that is missing or not executable is refused before anything starts", async () => {
  using folder = new ScriptFolder();
  const script = folder.write("exit 0");
  Deno.chmodSync(script, 0o644);
  const env = { ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY };
  for (
    const [path, line] of [[script, /is not executable/], [folder.file("gone"), /no such file/]] as const
  ) {
    const { code, stderr } = await runAgent(
      ["daemon", "--edge_mode", "script", "--edge_script", path, "-f", folder.file("ilagent.db3")],
      { command: "built", env },
    );
    assert.equal(code, 2, stderr);
    assert.match(stderr, line);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
});
