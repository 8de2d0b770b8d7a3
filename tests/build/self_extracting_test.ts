import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { writeSelfExtracting } from "../../scripts/build/self_extracting.ts";
import { ownTarget } from "../../scripts/build/targets.ts";

// A shell script stands in for Deno, and another one for the bundle: what is under test is the head alone.
const RUNTIME = `#!/bin/sh
[ "$1" != --version ] || { sleep "\${VERSION_SECONDS:-0}"; exit "\${VERSION_CODE:-0}"; }
while [ "\${1##*.}" != js ]; do shift; done
exec /bin/sh "$@"
`;
const ECHO = `
printf '%s\\0' "$@" && cat
printf '%s %s %s' "$(umask)" "$DENO_DIR" "\${NO_COLOR-unset}" >&2
exit "\${EXIT_CODE:-0}"
`;

// Shared with the build, so that Deno is compressed once.
const DIST = fileURLToPath(new URL("../../dist", import.meta.url));

const asRoot = Deno.uid() === 0;
const canMount = asRoot && succeeds("unshare", "-m", "true");
const canDropRights = asRoot && succeeds("setpriv", "--version");

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
    bundle: `trap 'echo stopped; exit 7' TERM; echo "$$"; while :; do sleep 0.05; done`,
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
    assert.equal((await names(expected)).length, 2);
  }
});

Deno.test({
  name: "the self-extracting file names the cache folder it cannot use when HOME is missing",
  ignore: !canDropRights,
  fn: async () => {
    await using box = await sandbox();
    const run = await box.start([], { cache: null, ...asNobody(box) });
    assert.deepEqual([run.code, run.stdout], [1, ""]);
    assert.match(run.stderr, /^ilagent: .* \/var\/cache\/ilagent.*: set ILAGENT_CACHE_DIR .*\n$/);
  },
});

Deno.test({
  name: "the self-extracting file works for another user, who cannot share root's cache",
  ignore: !canDropRights,
  fn: async () => {
    await using box = await sandbox();
    assert.equal((await box.start([])).code, 0);
    const shared = await box.start([], asNobody(box));
    assert.deepEqual([shared.code, shared.stdout], [1, ""]);
    assert.match(
      shared.stderr,
      /^ilagent: the cache folder .* belongs to another user: set ILAGENT_CACHE_DIR .*\n$/,
    );

    await Deno.mkdir(join(box.path, "theirs"));
    await Deno.chown(join(box.path, "theirs"), 65534, 65534);
    const own = await box.start(["one"], { ...asNobody(box), cache: join(box.path, "theirs/cache") });
    assert.deepEqual([own.code, own.stdout], [0, "one\0"]);
  },
});

Deno.test("the self-extracting file says in one line that its cache folder cannot be created", async () => {
  await using box = await sandbox();
  const run = await box.start([], { cache: join(box.file, "cache") });
  assert.deepEqual([run.code, run.stdout], [1, ""]);
  assert.match(run.stderr, /^ilagent: cannot create the cache folder .*: set ILAGENT_CACHE_DIR .*\n$/);
});

Deno.test("the self-extracting file refuses a cache folder that others can write, also when it is filled", async () => {
  await using box = await sandbox();
  assert.equal((await box.start([])).code, 0);
  for (const mode of [0o720, 0o702, 0o1777]) {
    await Deno.chmod(box.cache, mode);
    const run = await box.start([]);
    assert.deepEqual([run.code, run.stdout], [1, ""]);
    assert.match(
      run.stderr,
      /^ilagent: others can write the cache folder .*: chmod 700 it or set ILAGENT_CACHE_DIR.*\n$/,
    );
  }
  await Deno.chmod(box.cache, 0o755);
  assert.equal((await box.start([])).code, 0);
});

Deno.test("the self-extracting file refuses a damaged payload and leaves nothing in the cache", async () => {
  await using box = await sandbox();
  const intact = await Deno.readFile(box.file);
  const head = intact.indexOf(0x1f);
  // The compressed runtime begins after the head, the compressed bundle ends the file.
  for (const position of [head + 1, head + 40, intact.length - 1, intact.length - 12]) {
    const damaged = intact.slice();
    damaged[position]! ^= 0xff;
    await assertRefused(box, damaged);
  }
  await assertRefused(box, intact.slice(0, intact.length - 20));
});

Deno.test("the self-extracting file refuses a payload that is intact but not its own", async () => {
  await using box = await sandbox();
  const text = new TextDecoder("latin1").decode(await Deno.readFile(box.file));
  const sum = /unpack bundle .* ([0-9a-f]{64})\n/.exec(text)![1]!;
  const other = text.replaceAll(sum, "0".repeat(64));
  await assertRefused(box, Uint8Array.from(other, (character) => character.charCodeAt(0)));
});

Deno.test("the self-extracting file can be started twice at once", async () => {
  await using box = await sandbox();
  const env = { VERSION_SECONDS: "0.2" };
  const runs = await Promise.all(["1", "2", "3", "4"].map((arg) => box.start([arg], { env })));
  assert.deepEqual(runs.map(({ code, stdout }) => [code, stdout]), [[0, "1\0"], [0, "2\0"], [0, "3\0"], [
    0,
    "4\0",
  ]]);
  assert.equal((await names(box.cache)).length, 2);
});

Deno.test("the self-extracting file leaves nothing behind when it is stopped while it extracts", async () => {
  await using box = await sandbox();
  for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130], ["SIGHUP", 129]] as const) {
    const child = box.spawn([], { env: { VERSION_SECONDS: "0.3" } });
    while ((await names(box.cache)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill(signal);
    assert.equal((await child.output()).code, code);
    assert.deepEqual(await names(box.cache), []);
  }
});

Deno.test("the self-extracting file clears away what a killed start left a day ago", async () => {
  await using box = await sandbox();
  const old = join(box.cache, "extract.old"), recent = join(box.cache, "extract.recent");
  await Deno.mkdir(old, { recursive: true });
  await Deno.mkdir(recent);
  await Deno.chmod(box.cache, 0o700);
  const twoDaysAgo = new Date(Date.now() - 48 * 3600 * 1000);
  await Deno.utime(old, twoDaysAgo, twoDaysAgo);
  assert.equal((await box.start([])).code, 0);
  assert.deepEqual((await names(box.cache)).filter((name) => name.startsWith("extract.")), [
    "extract.recent",
  ]);
});

Deno.test("the self-extracting file says that the runtime does not start, and keeps nothing", async () => {
  await using box = await sandbox();
  const run = await box.start([], { env: { VERSION_CODE: "127" } });
  assert.deepEqual([run.code, run.stdout], [1, ""]);
  assert.match(run.stderr, /^ilagent: the runtime does not start on this system \(exit code 127\).*\n$/);
  assert.deepEqual(await names(box.cache), []);
});

for (
  const [situation, options, message] of [
    ["a noexec cache folder", "noexec", /^ilagent: .* is mounted noexec: set ILAGENT_CACHE_DIR .*\n0\n$/],
    [
      "a full disk",
      "size=64k",
      /^ilagent: cannot extract the runtime into .*: No space left on device .*\n0\n$/,
    ],
  ] as const
) {
  Deno.test({
    name: `the self-extracting file names ${situation} and leaves nothing there`,
    ignore: !canMount,
    fn: async () => {
      // Larger than the file system once extracted, far smaller while compressed.
      await using box = await sandbox({ runtime: RUNTIME + "#".repeat(1_000_000) });
      await Deno.mkdir(box.cache);
      const script =
        'mount -t tmpfs -o mode=700,"$1" tmpfs "$2"; "$3"; code=$?; ls -A "$2" | wc -l >&2; exit $code';
      const run = await box.start(["-m", "sh", "-c", script, "sh", options, box.cache, box.file], {
        program: "unshare",
      });
      assert.deepEqual([run.code, run.stdout], [1, ""]);
      assert.match(run.stderr, message);
    },
  });
}

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
        const run = await Deno.permissions.query({ name: "run" });
        const worker = new Worker(Deno.mainModule, { type: "module", name: "agent", deno: { permissions: { env: false } } });
        worker.onmessage = ({ data }) => { console.log(run.state, data); Deno.exit(3); };
      }`,
  });
  const run = await box.start(["a b"], { env: { ILAGENT_SEEN: "seen", HIDDEN: "hidden" } });
  assert.deepEqual([run.stderr, run.code, run.stdout], ["", 3, "seen undefined a b\nprompt nothing\n"]);
});

interface StartOptions {
  program?: string;
  before?: string[];
  cwd?: string;
  cache?: string | null;
  env?: Record<string, string>;
  stdin?: string;
}

/** A built file in a folder of its own, started with no environment but a test's. `runtime: null` packs Deno. */
async function sandbox(parts: { folder?: string; bundle?: string; runtime?: string | null } = {}) {
  const path = await Deno.makeTempDir({ prefix: "ilagent-build-" });
  await Deno.chmod(path, 0o755);
  const folder = join(path, parts.folder ?? "bin");
  const file = join(folder, "ilagent"), bundle = join(path, "bundle"), cache = join(path, "cache");
  await Deno.mkdir(folder);
  await Deno.mkdir(DIST, { recursive: true });
  await Deno.writeTextFile(bundle, parts.bundle ?? ECHO);
  let runtime = Deno.execPath(), keepIn = DIST;
  if (parts.runtime !== null) {
    [runtime, keepIn] = [join(path, "runtime"), folder];
    await Deno.writeTextFile(runtime, parts.runtime ?? RUNTIME);
  }
  const build = () =>
    writeSelfExtracting({
      bundle,
      runtime,
      target: ownTarget(),
      runFlags: [...PERMISSION_FLAGS, ...ISOLATION_FLAGS],
      keepIn,
      output: file,
    });
  await build();

  const spawn = (args: string[], options: StartOptions = {}) =>
    new Deno.Command(options.program ?? file, {
      args: [...(options.before ?? []), ...args],
      cwd: options.cwd ?? path,
      clearEnv: true,
      env: {
        PATH: "/usr/bin:/bin",
        ...(options.cache === null ? {} : { ILAGENT_CACHE_DIR: options.cache ?? cache }),
        ...options.env,
      },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();

  const start = async (args: string[], options: StartOptions = {}) => {
    const child = spawn(args, options);
    if (options.stdin !== undefined) await new Response(options.stdin).body!.pipeTo(child.stdin);
    const { code, stdout, stderr } = await child.output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  };

  return {
    path,
    folder,
    file,
    cache,
    build,
    spawn,
    start,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

async function assertRefused(box: Awaited<ReturnType<typeof sandbox>>, file: Uint8Array): Promise<void> {
  await Deno.writeFile(box.file, file);
  const run = await box.start([]);
  assert.deepEqual([run.code, run.stdout], [1, ""]);
  assert.match(run.stderr, /^ilagent: cannot extract the (runtime|bundle).* damaged\W*\n$/);
  assert.deepEqual(await names(box.cache), []);
}

function asNobody(box: { file: string }): StartOptions {
  return { program: "setpriv", before: ["--reuid=65534", "--regid=65534", "--clear-groups", box.file] };
}

async function names(folder: string): Promise<string[]> {
  const entries = [];
  try {
    for await (const { name } of Deno.readDir(folder)) entries.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return entries;
}

function succeeds(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}
