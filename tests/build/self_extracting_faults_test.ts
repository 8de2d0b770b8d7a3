import assert from "node:assert/strict";
import { join } from "node:path";
import { ownTarget, TARGETS } from "../../scripts/build/targets.ts";
import { writeExecutable } from "../support/executable.ts";
import {
  names,
  RUNTIME,
  type Sandbox,
  sandbox,
  type StartOptions,
} from "../support/self_extracting_sandbox.ts";

const asRoot = Deno.uid() === 0;
const canMount = asRoot && succeeds("unshare", "-m", "true");
const canDropRights = asRoot && succeeds("setpriv", "--version");

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
  // The compressed runtime begins after the head, the compressed program ends the file.
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
  const sum = /unpack program .* ([0-9a-f]{64})\n/.exec(text)![1]!;
  const other = text.replaceAll(sum, "0".repeat(64));
  await assertRefused(box, Uint8Array.from(other, (character) => character.charCodeAt(0)));
});

Deno.test("the self-extracting file for another machine says so and extracts nothing", async () => {
  for (const target of TARGETS.filter(({ machines }) => machines.length > 0)) {
    if (target.name === ownTarget().name) continue;
    await using box = await sandbox({ target });
    const run = await box.start([]);
    assert.deepEqual([run.code, run.stdout], [1, ""]);
    assert.match(run.stderr, /^ilagent: this file is for (\w+-\w+), this machine is \w+-\w+\n$/);
    assert.match(run.stderr, new RegExp(`for ${target.name},`));
    assert.deepEqual(await names(box.cache), []);
  }
});

for (const missing of ["gzip", "sha256sum"]) {
  Deno.test(`the self-extracting file says that it needs ${missing} for its first start, and extracts nothing`, async () => {
    await using box = await sandbox();
    const tools = join(box.path, "tools");
    await Deno.mkdir(tools);
    for (
      const tool of [
        "sh",
        "ls",
        "uname",
        "mkdir",
        "mktemp",
        "find",
        "rm",
        "tail",
        "head",
        "gzip",
        "sha256sum",
      ]
    ) {
      const path = await pathOf(tool);
      if (tool !== missing && path !== "") await Deno.symlink(path, join(tools, tool));
    }
    const run = await box.start([], { env: { PATH: tools } });
    assert.deepEqual([run.code, run.stdout], [1, ""]);
    assert.match(run.stderr, new RegExp(`^ilagent: ${missing} .*is needed for the first start\\n$`));
    assert.deepEqual(await names(box.cache), []);
  });
}

/** Paths below the cache folder, of all but what Deno keeps for itself. */
async function executed(cache: string): Promise<string[]> {
  const found = [];
  for (const name of await names(cache)) {
    if (name === "deno") continue;
    found.push(name);
    if (name.startsWith("ilagent-")) {
      found.push(...(await names(join(cache, name))).map((file) => join(name, file)));
    }
  }
  return found;
}

Deno.test("the self-extracting file never runs a link or a folder that lies where its files belong", async () => {
  await using box = await sandbox();
  assert.equal((await box.start([])).code, 0);
  const foreign = join(box.path, "foreign"), folder = join(box.path, "folder");
  await Deno.mkdir(folder);
  for (const path of [foreign, join(folder, "ilagent.js"), join(folder, "beside.js")]) {
    await Deno.writeTextFile(path, "#!/bin/sh\necho foreign\n", { mode: 0o755 });
  }
  const places = await executed(box.cache);
  assert.equal(places.length, 4, "runtime, folder and two modules");
  for (const name of places) {
    const place = join(box.cache, name);
    const { isDirectory } = await Deno.lstat(place);
    await Deno.remove(place, { recursive: true });
    await Deno.symlink(isDirectory ? folder : foreign, place);
    const linked = await box.start(["one"]);
    assert.deepEqual([linked.code, linked.stdout, linked.stderr.split(" ")[0]], [0, "one\0", "0022"], name);
    assert.equal((await Deno.lstat(place)).isSymlink, false, name);
    assert.equal((await Deno.lstat(place)).isDirectory, isDirectory, name);

    if (isDirectory) continue;
    await Deno.remove(place);
    await Deno.mkdir(join(place, "deep"), { recursive: true });
    const replaced = await box.start(["one"]);
    assert.deepEqual([replaced.code, replaced.stdout], [0, "one\0"], name);
    assert.equal((await Deno.lstat(place)).isFile, true);
  }
  assert.match(await Deno.readTextFile(foreign), /foreign/, "the link's target is untouched");
  assert.deepEqual(
    (await names(folder)).sort(),
    ["beside.js", "ilagent.js"],
    "the linked folder is untouched",
  );
});

Deno.test({
  name: "the self-extracting file never runs what another user left in its cache",
  ignore: !asRoot,
  fn: async () => {
    await using box = await sandbox();
    assert.equal((await box.start([])).code, 0);
    for (const name of await executed(box.cache)) {
      const place = join(box.cache, name);
      if ((await Deno.lstat(place)).isFile) {
        await Deno.remove(place);
        await Deno.writeTextFile(place, "#!/bin/sh\necho foreign\n", { mode: 0o755 });
      }
      await Deno.chown(place, 65534, 65534);
      const run = await box.start(["one"]);
      assert.deepEqual([run.code, run.stdout], [0, "one\0"], name);
      assert.equal((await Deno.lstat(place)).uid, 0);
    }
  },
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
    [
      "an unwritable cache folder",
      "ro",
      /^ilagent: cannot write into the cache folder .*: set ILAGENT_CACHE_DIR .*\n0\n$/,
    ],
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

async function assertRefused(box: Sandbox, file: Uint8Array<ArrayBuffer>): Promise<void> {
  writeExecutable(box.file, file);
  const run = await box.start([]);
  assert.deepEqual([run.code, run.stdout], [1, ""]);
  assert.match(run.stderr, /^ilagent: cannot extract the (runtime|program).* damaged\W*\n$/);
  assert.deepEqual(await names(box.cache), []);
}

async function pathOf(tool: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", 'command -v "$0"', tool] }).output();
  return new TextDecoder().decode(stdout).trim();
}

function asNobody(box: { file: string }): StartOptions {
  return { program: "setpriv", before: ["--reuid=65534", "--regid=65534", "--clear-groups", box.file] };
}

function succeeds(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}
