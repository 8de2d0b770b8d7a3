import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "../../scripts/build/self_extracting.ts";
import { writeAssets } from "../../scripts/release/assets.ts";
import { writeExecutable } from "../support/executable.ts";
import { TempFolder } from "../support/temp_folder.ts";

const TEMPLATE = fileURLToPath(new URL("../../scripts/packaging/install.sh", import.meta.url));
const PROGRAM = "#!/bin/sh\necho ilagent 1.2.3\n";

// Windows has no sh; its file is downloaded by hand.
const test = (name: string, fn: (mirror: Mirror) => Promise<void>) =>
  Deno.test({
    name,
    ignore: Deno.build.os === "windows",
    fn: async () => {
      await using mirror = await Mirror.start();
      await fn(mirror);
    },
  });

test("install.sh installs the file for this machine from a mirror, once its sum is right", async (mirror) => {
  const { code, stdout, stderr } = await mirror.install({});
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^Installed ilagent 1\.2\.3 \(ilagent-linux-x64\) as .*\/bin\/ilagent\n$/);
  assert.equal(await Deno.readTextFile(join(mirror.target, "ilagent")), PROGRAM);
  assert.equal((await Deno.stat(join(mirror.target, "ilagent"))).mode! & 0o777, 0o755);
  assert.deepEqual(mirror.requested, ["/ilagent-linux-x64"]);
});

test("install.sh takes the self-extracting form where that is wanted, and knows each platform", async (mirror) => {
  const platforms = {
    "Linux aarch64": "linux-arm64",
    "Darwin arm64": "macos-arm64",
    "Darwin x86_64": "macos-x64",
  };
  for (const [machine, name] of Object.entries(platforms)) {
    const { code, stderr } = await mirror.install({ machine, args: ["--form", "self-extracting"] });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(mirror.requested.pop(), `/ilagent-${name}-self-extracting`);
  }
});

test("install.sh refuses a file with another sum, and leaves the one that is there", async (mirror) => {
  assert.equal((await mirror.install({})).code, 0);
  mirror.files.set("/ilagent-linux-x64", "#!/bin/sh\necho foreign\n");
  const { code, stdout, stderr } = await mirror.install({});
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(
    stderr,
    /^install\.sh: http.*\/ilagent-linux-x64 is not the file of this release: its SHA-256 is .*\n$/,
  );
  assert.deepEqual([...Deno.readDirSync(mirror.target)].map(({ name }) => name), ["ilagent"]);
  assert.equal(await Deno.readTextFile(join(mirror.target, "ilagent")), PROGRAM);
});

test("install.sh refuses platforms without a release, and downloads nothing", async (mirror) => {
  for (const machine of ["FreeBSD amd64", "Linux riscv64", "Linux armv7l", "Darwin ppc"]) {
    const { code, stderr } = await mirror.install({ machine });
    assert.equal(code, 1);
    assert.match(stderr, /^install\.sh: there is no ilagent for \w+ on \w+: releases are for .*\n$/);
  }
  const musl = await mirror.install({ ldd: "musl libc (x86_64)\nVersion 1.2.4" });
  assert.match(musl.stderr, /^install\.sh: there is no ilagent for musl: .*\n$/);
  assert.deepEqual([musl.code, mirror.requested], [1, []]);
});

test("install.sh says in one line what is wrong with a download, a folder or an argument", async (mirror) => {
  const cases: [Parameters<Mirror["install"]>[0], RegExp][] = [
    [{ args: ["--form", "other"] }, /^install\.sh: usage: .*\n$/],
    [{ args: ["--unknown", "x"] }, /^install\.sh: usage: .*\n$/],
    [{ args: ["--to"] }, /^install\.sh: usage: .*\n$/],
    [{ args: ["--to", `${TEMPLATE}/folder`] }, /^install\.sh: cannot write into .*: run this as root, .*\n$/],
    [
      { args: ["--from", `${mirror.url}/away`] },
      /install\.sh: cannot download .*\/away\/ilagent-linux-x64\n$/,
    ],
  ];
  for (const [options, message] of cases) {
    const { code, stdout, stderr } = await mirror.install(options);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, message);
    assert.deepEqual([...Deno.readDirSync(mirror.target)], []);
  }
});

test("install.sh from the repository, without a release around it, installs nothing", async (mirror) => {
  const { code, stderr } = await mirror.install({ script: TEMPLATE });
  assert.equal(code, 1);
  assert.equal(stderr, "install.sh: this release has no ilagent-linux-x64\n");
});

test("writeAssets() lists every file of the release, the installer included, and does so again", async (mirror) => {
  await mirror.release();
  const lines = (await Deno.readTextFile(join(mirror.folder, "SHA256SUMS"))).trim().split("\n");
  const names = [...Deno.readDirSync(mirror.folder)].map(({ name }) => name).filter((name) =>
    name !== "SHA256SUMS"
  );
  assert.deepEqual(lines.map((line) => line.slice(66)), names.sort());
  for (const line of lines) {
    assert.equal(line.slice(0, 64), sha256(await Deno.readFile(join(mirror.folder, line.slice(66)))));
  }
});

/** A release served on a free port, and a machine to install it on. */
class Mirror implements AsyncDisposable {
  readonly #temp = new TempFolder();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly folder = this.#temp.file("release");
  readonly target = this.#temp.file("bin");
  readonly files = new Map<string, string>();
  readonly requested: string[] = [];

  private constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { pathname } = new URL(request.url);
      this.requested.push(pathname);
      const body = this.files.get(pathname);
      return body === undefined ? new Response("no", { status: 404 }) : new Response(body);
    });
    Deno.mkdirSync(this.folder);
    Deno.mkdirSync(this.target);
    for (const platform of ["linux-x64", "linux-arm64", "macos-x64", "macos-arm64"]) {
      for (const name of [`ilagent-${platform}`, `ilagent-${platform}-self-extracting`]) {
        Deno.writeTextFileSync(join(this.folder, name), PROGRAM);
        this.files.set(`/${name}`, PROGRAM);
      }
    }
  }

  static async start(): Promise<Mirror> {
    const mirror = new Mirror();
    await mirror.release();
    return mirror;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async release(): Promise<void> {
    const installerTemplate = await Deno.readTextFile(TEMPLATE);
    await writeAssets(this.folder, { version: "1.2.3", url: this.url, installerTemplate, sbom: {} });
  }

  async install(
    {
      args = [],
      machine = "Linux x86_64",
      ldd = "ldd (GNU libc) 2.36",
      script = join(this.folder, "install.sh"),
    }: {
      args?: string[];
      machine?: string;
      ldd?: string;
      script?: string;
    },
  ) {
    const [system, processor] = machine.split(" ");
    const fakes = this.#temp.file("fakes");
    await Deno.mkdir(fakes, { recursive: true });
    const uname = `#!/bin/sh\ncase $1 in -s) echo ${system} ;; *) echo ${processor} ;; esac\n`;
    writeExecutable(join(fakes, "uname"), uname);
    writeExecutable(join(fakes, "ldd"), `#!/bin/sh\necho '${ldd}'\n`);
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: [script, "--to", this.target, ...args],
      clearEnv: true,
      env: { PATH: `${fakes}:${Deno.env.get("PATH")}`, NO_PROXY: "127.0.0.1" },
      stdin: "null",
    }).output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    this.#temp[Symbol.dispose]();
  }
}
