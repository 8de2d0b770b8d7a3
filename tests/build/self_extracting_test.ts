import assert from "node:assert/strict";
import { join } from "node:path";
import { runAgent } from "../support/agent_process.ts";
import { names, sandbox } from "../support/self_extracting_sandbox.ts";

Deno.test("the self-extracting file runs from another folder, with a space in its path and in its cache", async () => {
  await using box = await sandbox({ folder: "my programs" });
  const run = await box.start(["one"], { cwd: "/", cache: join(box.path, "my cache") });
  assert.deepEqual([run.code, run.stdout], [0, "one\0"]);
});

Deno.test("the self-extracting file runs through a symbolic link, through PATH and as an argument of sh", async () => {
  await using box = await sandbox();
  const link = join(box.path, "link");
  await Deno.symlink(box.file, link);
  const ways: [string, string[], string, string?][] = [
    [link, [], "/"],
    ["./ilagent", [], box.folder],
    ["sh", ["-c", 'ilagent "$@"', "sh"], "/", `${box.folder}:/usr/bin:/bin`],
    ["sh", ["-c", 'ilagent "$@"', "sh"], box.path, `bin:/usr/bin:/bin`],
    ["sh", ["-c", 'ilagent "$@"', "sh"], box.folder, `:/usr/bin:/bin`],
    ["sh", ["ilagent"], box.folder],
  ];
  for (const [index, [program, before, cwd, path]] of ways.entries()) {
    const cache = join(box.path, `cache-${index}`);
    const run = await box.start(["one"], { program, before, cwd, cache, env: path ? { PATH: path } : {} });
    assert.deepEqual([run.code, run.stdout], [0, "one\0"], `${program} ${before.join(" ")}: ${run.stderr}`);
  }
});

Deno.test("the self-extracting file passes on its arguments, input, exit code and umask untouched", async () => {
  await using box = await sandbox();
  const args = ["a b", "it's", 'say "hi"', "two\nlines\n", "", "*", "$HOME", "--", "-e", "\\n", "ü"];
  for (const start of ["first", "second"]) {
    const run = await box.start(["-c", 'umask 027; exec "$0" "$@"', box.file, ...args], {
      program: "sh",
      env: { EXIT_CODE: "42" },
      stdin: "input",
    });
    assert.equal(run.code, 42, `${start}: ${run.stderr}`);
    assert.equal(run.stdout, args.map((arg) => `${arg}\0`).join("") + "input");
    assert.equal(run.stderr, `0027 ${box.cache}/deno 1`);
  }
});

Deno.test("the self-extracting file becomes its runtime, so that signals reach it", async () => {
  await using box = await sandbox({
    bundle:
      `[ "$1" != map ] || exit; trap 'echo stopped; exit 7' TERM; echo "$$"; while :; do sleep 0.05; done`,
  });
  const child = box.spawn([]);
  const reader = child.stdout.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), `${child.pid}\n`);
  child.kill("SIGTERM");
  assert.equal(new TextDecoder().decode((await reader.read()).value), "stopped\n");
  await reader.cancel();
  await child.stderr.cancel();
  assert.equal((await child.status).code, 7);
});

Deno.test("the self-extracting file puts the modules of its program beside each other, whole", async () => {
  const beside = "b".repeat(70_000) + "\n";
  await using box = await sandbox({ bundle: `cat "$(dirname "$0")/beside.js"`, beside });
  const run = await box.start([]);
  assert.deepEqual([run.code, run.stdout], [0, beside], run.stderr);
});

Deno.test("the first start of the self-extracting file has a short-lived process fill Deno's caches, no later one", async () => {
  await using box = await sandbox({ bundle: `echo "$*" >>"$TOLD"; exec cat >>"$TOLD"` });
  const env = { TOLD: join(box.path, "told") };
  for (const arg of ["first", "second"]) assert.equal((await box.start([arg], { env })).code, 0);
  const [, filling = "", message = "", others] =
    /^(map .*)\n(\{.*\})(.*)$/s.exec(await Deno.readTextFile(env.TOLD)) ?? [];
  assert.equal(others, "first\nsecond\n");

  const { code, stderr } = await runAgent(filling.split(" "), { stdin: message });
  assert.equal(code, 0, stderr);
});

Deno.test("the self-extracting file takes its cache from ILAGENT_CACHE_DIR, XDG_CACHE_HOME or HOME", async () => {
  await using box = await sandbox();
  const own = join(box.path, "own"), xdg = join(box.path, "xdg"), home = join(box.path, "home");
  const cases: [Record<string, string>, string][] = [
    [{ ILAGENT_CACHE_DIR: own, XDG_CACHE_HOME: xdg, HOME: home }, own],
    [{ ILAGENT_CACHE_DIR: "relative", HOME: home }, join(box.folder, "relative")],
    [{ XDG_CACHE_HOME: xdg, HOME: home }, join(xdg, "ilagent")],
    [{ XDG_CACHE_HOME: "", HOME: home }, join(home, ".cache/ilagent")],
  ];
  for (const [env, expected] of cases) {
    const run = await box.start([], { env, cache: null, cwd: box.folder });
    assert.equal(run.code, 0, run.stderr);
    assert.equal((await Deno.stat(expected)).mode! & 0o777, 0o700);
    assert.equal((await names(expected)).length, 3);
  }
});

Deno.test("the self-extracting file can be started twice at once", async () => {
  await using box = await sandbox();
  const env = { VERSION_SECONDS: "0.2" };
  const runs = await Promise.all(["1", "2", "3", "4"].map((arg) => box.start([arg], { env })));
  assert.deepEqual(runs.map(({ code, stdout }) => [code, stdout]), [[0, "1\0"], [0, "2\0"], [0, "3\0"], [
    0,
    "4\0",
  ]]);
  assert.equal((await names(box.cache)).length, 3);
});

Deno.test("the self-extracting file does not replace a program that is there, and that others may be starting", async () => {
  await using box = await sandbox();
  assert.equal((await box.start([])).code, 0);
  const kept = await names(box.cache);
  const [runtime = "", program = ""] = ["deno-", "ilagent-"].map((prefix) =>
    join(box.cache, kept.find((name) => name.startsWith(prefix)) ?? "")
  );
  const inodes = async () => {
    const files = [program, ...(await names(program)).sort().map((name) => join(program, name))];
    return await Promise.all(files.map(async (file) => (await Deno.stat(file)).ino));
  };
  const before = await inodes();
  await Deno.remove(runtime);
  assert.equal((await box.start([])).code, 0);
  assert.deepEqual(await inodes(), before);
  assert.deepEqual((await names(box.cache)).sort(), kept.sort());
});

Deno.test("writeSelfExtracting() gives the same bytes for the same parts, with a kept runtime or without", async () => {
  await using first = await sandbox();
  await using second = await sandbox();
  const bytes = await Deno.readFile(first.file);
  assert.deepEqual(await Deno.readFile(second.file), bytes);

  const kept = (await names(first.folder)).find((name) => name.startsWith(".runtime-"))!;
  await first.build();
  assert.deepEqual(await Deno.readFile(first.file), bytes);
  await Deno.writeTextFile(join(first.folder, kept), "damaged");
  await first.build();
  assert.deepEqual(await Deno.readFile(first.file), bytes);
});

Deno.test("writeSelfExtracting() with the real runtime starts a bundle and its worker with exactly its rights", async () => {
  await using box = await sandbox({
    runtime: null,
    bundle: `
      if (self.name === "agent") self.postMessage(Deno.env.get("ILAGENT_SEEN") ?? "nothing");
      else {
        console.log(Deno.env.get("ILAGENT_SEEN"), Deno.env.get("HIDDEN"), ...Deno.args);
        const ffi = await Deno.permissions.query({ name: "ffi" });
        const worker = new Worker(Deno.mainModule, { type: "module", name: "agent", deno: { permissions: { env: false } } });
        worker.onmessage = ({ data }) => { console.log(ffi.state, data); Deno.exit(3); };
      }`,
  });
  const run = await box.start(["a b"], { env: { ILAGENT_SEEN: "seen", HIDDEN: "hidden" } });
  assert.deepEqual([run.stderr, run.code, run.stdout], ["", 3, "seen undefined a b\nprompt nothing\n"]);
});
