import assert from "node:assert/strict";
import type { ScriptInput, ScriptRun, ScriptSetup } from "../../src/jail/script_messages.ts";
import { ScriptRunner } from "../../src/jail/script_runner.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { isAlive, KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";
import { until } from "../support/until.ts";

const LIVE = new AbortController().signal;
const RUN_MAX_MS = 30_000;

const INPUT: ScriptInput = {
  body: '{"id":"100"}',
  eventType: "alert-created",
  alertId: "100",
  itemId: "9223372036854775807",
  timestamp: "2026-05-04T10:00:00.000Z",
};

function setup(path: string, more: Partial<ScriptSetup> = {}): ScriptSetup {
  return { path, killPath: KILL_PROGRAM, env: {}, ...more };
}

/** The end of a run for which no wait is too long. */
async function afterTime(running: Promise<ScriptRun>, clock: FakeClock): Promise<ScriptRun> {
  let run: ScriptRun | null = null;
  void running.then((ended) => run = ended);
  await until(async () => {
    await clock.advance(100);
    return run !== null;
  }, "the run is over");
  return await running;
}

/** Runs a script of these lines once. */
async function runOnce(lines: string, input: Partial<ScriptInput> = {}, more: Partial<ScriptSetup> = {}) {
  using folder = new ScriptFolder();
  await using runner = new ScriptRunner(
    setup(folder.write(lines), more),
    RUN_MAX_MS,
    systemClock,
  );
  return await runner.run({ ...INPUT, ...input }, LIVE);
}

Deno.test("ScriptRunner.run() gives the payload on stdin, and as environment nothing but PATH, the four variables and the given ones", async () => {
  const secret = "ILERT_EDGE_CONNECTOR_KEY";
  Deno.env.set(secret, "iec1-secret");
  try {
    await using runner = new ScriptRunner(
      setup("/usr/bin/env", { env: { TARGET: "a=b c", ILERT_TIMESTAMP: "not this one" } }),
      RUN_MAX_MS,
      systemClock,
    );
    const { failure, lines } = await runner.run(INPUT, LIVE);
    assert.equal(failure, null);
    assert.deepEqual(lines.sort(), [
      "ILERT_ALERT_ID=100",
      "ILERT_EDGE_ITEM_ID=9223372036854775807",
      "ILERT_EVENT_TYPE=alert-created",
      "ILERT_TIMESTAMP=2026-05-04T10:00:00.000Z",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "TARGET=a=b c",
    ]);
  } finally {
    Deno.env.delete(secret);
  }
  const { lines } = await runOnce("cat");
  assert.deepEqual(lines, [INPUT.body]);
});

Deno.test("ScriptRunner.run() lets a configured PATH replace its own", async () => {
  await using runner = new ScriptRunner(
    setup("/usr/bin/env", { env: { PATH: "/opt/bin" } }),
    1e4,
    systemClock,
  );
  const { lines } = await runner.run(INPUT, LIVE);
  assert.ok(lines.includes("PATH=/opt/bin"), lines.join());
});

Deno.test("ScriptRunner.run() runs a script whatever its payload holds: zero characters and values too long for a variable", async () => {
  const { failure, lines } = await runOnce('echo "$ILERT_ALERT_ID ${#ILERT_EVENT_TYPE}"', {
    alertId: "a\0b\0",
    eventType: "x".repeat(300_000),
  });
  assert.equal(failure, null);
  assert.deepEqual(lines, ["ab 8192"]);
});

for (
  const [what, script, failure] of [
    ["an exit code", "exit 3", /^the script ended with exit code 3$/],
    ["a signal", "kill -TERM $$", /^the script was ended by SIGTERM$/],
    ["a missing interpreter", "#!/no/such/program", /or the program in its first line does not exist$/],
  ] as const
) {
  Deno.test(`ScriptRunner.run() fails by ${what} of the script and says so`, async () => {
    assert.match((await runOnce(script)).failure ?? "", failure);
  });
}

Deno.test("ScriptRunner.run() fails while the script is missing, not executable or being written, and then runs it again", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("exit 0");
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  const failure = async () => (await runner.run(INPUT, LIVE)).failure;

  assert.equal(await failure(), null);
  Deno.chmodSync(path, 0o644);
  assert.equal(await failure(), `the script cannot be started: ${path} is not executable`);
  Deno.removeSync(path);
  assert.equal(
    await failure(),
    `the script cannot be started: ${path} or the program in its first line does not exist`,
  );
  folder.write("exit 0");
  if (Deno.build.os === "linux") {
    using _writer = Deno.openSync(path, { append: true });
    assert.equal(await failure(), `the script cannot be started: ${path} is being written`);
  }
  assert.equal(await failure(), null);
});

Deno.test("ScriptRunner.run() ends a run that was under way when the script was replaced, and runs the new one next", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("echo > started; while [ ! -e go ]; do sleep 0.01; done; echo old");
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  const old = runner.run(INPUT, LIVE);
  await until(() => folder.has("started"), "the old script runs");
  Deno.renameSync(folder.write("echo new", "new.sh"), path);
  Deno.writeTextFileSync(folder.file("go"), "");
  assert.deepEqual((await old).lines, ["old"]);
  assert.deepEqual((await runner.run(INPUT, LIVE)).lines, ["new"]);
});

for (
  const [what, script] of [
    ["ignores its stdin", "exit 0"],
    ["closes its stdin early", "exec <&-; sleep 0.1; exit 0"],
    ["reads one line of it", "head -c 10 > /dev/null"],
  ] as const
) {
  Deno.test(`ScriptRunner.run() takes no offence at a script that ${what}`, async () => {
    const { failure } = await runOnce(script, { body: "x".repeat(5_000_000) });
    assert.equal(failure, null);
  });
}

Deno.test("ScriptRunner.run() returns what the script wrote, both streams, and drops the rest of a flood", async () => {
  const { failure, lines, droppedBytes } = await runOnce(
    "echo out; echo err >&2; printf tail; yes | head -c 20000000 >&2",
  );
  assert.equal(failure, null);
  assert.ok(lines.includes("out") && lines.includes("err"), lines.join());
  assert.ok(lines.length <= 200);
  assert.ok(droppedBytes > 19_900_000 && droppedBytes < 20_000_020, String(droppedBytes));
});

Deno.test("ScriptRunner.run() kills a script that takes longer than 30 s, with its grandchildren", async () => {
  using folder = new ScriptFolder();
  const clock = new FakeClock();
  // The inner one has lost its parent by then and ignores what can be ignored.
  const path = folder.write(
    `(trap '' TERM HUP INT; sleep 600 & echo $! > orphan; wait) & sleep 600 & echo $! > child; wait`,
  );
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, clock);
  const running = runner.run(INPUT, LIVE);
  await until(() => folder.has("orphan") && folder.has("child"), "its processes run");
  const pids = [folder.pid("orphan"), folder.pid("child")];
  await clock.advance(RUN_MAX_MS - 1);
  assert.deepEqual(await Promise.all(pids.map(isAlive)), [true, true]);
  const { failure } = await afterTime(running, clock);
  assert.equal(failure, "the script took longer than 30 s and was killed");
  for (const pid of pids) await until(async () => !await isAlive(pid), "its processes are gone");
});

Deno.test("ScriptRunner.run() leaves nothing of a failed script behind", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("sleep 600 > /dev/null 2>&1 & echo $! > child; exit 1");
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  assert.equal((await runner.run(INPUT, LIVE)).failure, "the script ended with exit code 1");
  await until(async () => !await isAlive(folder.pid("child")), "its process is gone");
});

Deno.test("ScriptRunner.run() does not wait for what a successful script leaves in the background, even if that holds its output open", async () => {
  using folder = new ScriptFolder();
  const path = folder.write(
    "(while [ ! -e go ]; do sleep 0.01; done; echo late; echo late; echo $? > alive) & echo $! > child; echo done",
  );
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  const { failure, lines } = await runner.run(INPUT, LIVE);
  assert.equal(failure, null);
  assert.deepEqual(lines, ["done"]);
  assert.equal(await isAlive(folder.pid("child")), true);
  // Writing to a pipe that was closed would end it.
  Deno.writeTextFileSync(folder.file("go"), "");
  await until(() => folder.has("alive"), "it can still write");
});

Deno.test("ScriptRunner.run() closes the oldest of too many outputs that background processes hold open", async () => {
  using folder = new ScriptFolder();
  const path = folder.write(
    "(while echo x; do sleep 0.01; done) 2>/dev/null & echo $! > $ILERT_EDGE_ITEM_ID",
  );
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  for (let n = 0; n <= 8; n++) {
    // stderr goes elsewhere, so each run leaves one stream.
    assert.equal((await runner.run({ ...INPUT, itemId: `pid${n}` }, LIVE)).failure, null);
  }
  for (let n = 9; n <= 16; n++) await runner.run({ ...INPUT, itemId: `pid${n}` }, LIVE);
  await until(async () => !await isAlive(folder.pid("pid0")), "the oldest has nobody to write to");
  assert.equal(await isAlive(folder.pid("pid16")), true);
  await runner[Symbol.asyncDispose]();
  for (let n = 1; n <= 16; n++) {
    await until(async () => !await isAlive(folder.pid(`pid${n}`)), "all end with the runner");
  }
});

Deno.test("ScriptRunner.run() kills the script's group when it is aborted, and starts nothing afterwards", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("sleep 600 & echo $! > child; wait");
  await using runner = new ScriptRunner(setup(path), RUN_MAX_MS, systemClock);
  const abort = new AbortController();
  const running = runner.run(INPUT, abort.signal);
  await until(() => folder.has("child"), "the script runs");
  abort.abort();
  assert.equal((await running).failure, "the script was killed because the agent is shutting down");
  await until(async () => !await isAlive(folder.pid("child")), "its process is gone");

  Deno.removeSync(folder.file("child"));
  assert.equal((await runner.run(INPUT, abort.signal)).failure, "the agent is shutting down");
  assert.equal(folder.has("child"), false);
});

Deno.test("ScriptRunner.run() starts no second run beside one that cannot be killed", async () => {
  using folder = new ScriptFolder();
  const clock = new FakeClock();
  const path = folder.write("echo $$ > leader; exec sleep 600");
  await using runner = new ScriptRunner(setup(path, { killPath: "/bin/true" }), RUN_MAX_MS, clock);
  const running = runner.run(INPUT, LIVE);
  await until(() => folder.has("leader"), "the script runs");
  const leader = folder.pid("leader");
  const { failure } = await afterTime(running, clock);
  assert.match(failure ?? "", /took longer than 30 s/);
  assert.equal(
    (await runner.run(INPUT, LIVE)).failure,
    "an earlier run of the script was killed and has not ended yet",
  );
  Deno.kill(leader, "SIGKILL");
  Deno.removeSync(path);
  await until(
    async () => /cannot be started/.test((await runner.run(INPUT, LIVE)).failure ?? ""),
    "it runs the script again",
  );
});

Deno.test("ScriptRunner.run() kills at least the script itself where there is no kill program any more", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("echo > started; exec sleep 600");
  await using runner = new ScriptRunner(setup(path, { killPath: "/no/such/kill" }), RUN_MAX_MS, systemClock);
  const abort = new AbortController();
  const running = runner.run(INPUT, abort.signal);
  await until(() => folder.has("started"), "the script runs");
  abort.abort();
  assert.match((await running).failure ?? "", /was killed/);
});
