import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ISOLATION_FLAGS, PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { writeImageContext } from "../../scripts/release/image_context.ts";
import { copyExecutable } from "../support/executable.ts";
import { toolTest } from "../support/services.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const USER = "65532:65532";

/** As the container runs: another user without rights, a read-only root, one volume, no network but its own. */
const CONTAINER = `
set -eu
ip link set lo up 2>/dev/null || ifconfig lo up
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -o remount,ro,bind "$1"
mount -t tmpfs -o "uid=65532,gid=65532,mode=700" tmpfs "$1/var/lib/ilagent"
root=$1; shift
exec setpriv --no-new-privs chroot --userspec=${USER} --groups= "$root" "$@"
`;

Deno.test("the image has one volume, no rights, no shell in anything it starts, and the flags of the built file", async () => {
  using folder = new TempFolder();
  const image = await imageIn(folder);
  assert.match(image.one("FROM"), /^gcr\.io\/distroless\/cc-debian12:nonroot$/);
  assert.equal(image.one("USER"), USER);
  assert.equal(image.one("VOLUME"), "/var/lib/ilagent");
  assert.deepEqual(image.all("RUN"), []);
  const flags = [...PERMISSION_FLAGS, ...ISOLATION_FLAGS];
  assert.deepEqual(image.list("ENTRYPOINT"), ["/usr/bin/deno", "run", ...flags, "/opt/ilagent/ilagent.js"]);
  assert.deepEqual(image.list("CMD"), ["daemon"]);
  assert.equal(image.list("HEALTHCHECK")[0], "/usr/bin/deno");
});

toolTest(
  "the image's files run without rights from a read-only root that has no shell, and answer its health check",
  {
    needs: ["setpriv"],
    asRoot: true,
  },
  async () => {
    using folder = new TempFolder();
    const image = await imageIn(folder);
    const root = await rootOf(image, folder);
    const env = { ...image.environment(), PATH: Deno.env.get("PATH") ?? "" };
    const container = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private"],
        ...["sh", "-c", CONTAINER, "sh", root, ...image.list("ENTRYPOINT"), ...image.list("CMD"), "-v", "-v"],
      ],
      clearEnv: true,
      env,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const log = new Response(container.stderr).text();
    const started = async () =>
      (await Deno.readTextFile(`/proc/${container.pid}/task/${container.pid}/children`)).trim();
    const isHealthy = async () => {
      const inside = ["chroot", `--userspec=${USER}`, "--groups=", root, ...image.list("HEALTHCHECK")];
      const args = ["--target", await started(), "--mount", "--net", ...inside];
      return (await new Deno.Command("nsenter", { args, clearEnv: true, env, stderr: "null" }).output())
        .code === 0;
    };
    try {
      await until(isHealthy, "the health check succeeds", 30_000);
      Deno.kill(Number(await started()), "SIGTERM");
      assert.equal((await container.status).code, 0);
    } finally {
      await end(container);
      const lines = (await log).trim().split("\n");
      assert.ok(lines.every((line) => / INFO {4}/.test(line)), lines.join("\n"));
    }
  },
);

async function imageIn(folder: TempFolder) {
  const context = folder.file("context");
  const program = join(ROOT, "dist", "program");
  await writeImageContext({ root: ROOT, program, runtimes: { amd64: Deno.execPath() }, folder: context });
  const text = (await Deno.readTextFile(join(context, "Dockerfile"))).replace(/^#.*\n/gm, "").replace(
    /\\\n/g,
    " ",
  );
  const all = (name: string) =>
    text.split("\n").filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
  const one = (name: string) => {
    assert.equal(all(name).length, 1, name);
    return all(name)[0]!.trim();
  };
  return {
    context,
    all,
    one,
    /** The words of an instruction that is a list. */
    list: (name: string): string[] => JSON.parse(one(name).replace(/^[^[]*/, "")),
    environment: () =>
      Object.fromEntries(
        all("ENV").join(" ").trim().split(/\s+/).map((pair) => pair.split("=") as [string, string]),
      ),
  };
}

/** What the base image has of the C library, from this machine, and what the Dockerfile copies. */
async function rootOf(image: Awaited<ReturnType<typeof imageIn>>, folder: TempFolder): Promise<string> {
  const root = folder.file("root");
  for (const place of ["proc", "usr/bin", "opt/ilagent", "var/lib/ilagent"]) {
    await Deno.mkdir(join(root, place), { recursive: true });
  }
  const { stdout } = await new Deno.Command("ldd", { args: [Deno.execPath()] }).output();
  for (const [library] of new TextDecoder().decode(stdout).matchAll(/\/\S+/g)) {
    await Deno.mkdir(join(root, dirname(library)), { recursive: true });
    copyExecutable(library, join(root, library));
  }
  for (const copy of image.all("COPY")) {
    const words = copy.replace("${TARGETARCH}", "amd64").split(/\s+/).filter((word) =>
      !word.startsWith("--")
    );
    const target = words.pop()!;
    for (const source of words) {
      const from = join(image.context, source);
      // Of a folder Docker copies what is in it.
      const paths = source.endsWith("/")
        ? [...Deno.readDirSync(from)].map(({ name }) => join(from, name))
        : [from];
      for (const path of paths) {
        copyExecutable(
          path,
          target.endsWith("/") ? join(root, target, basename(path)) : join(root, target),
        );
      }
    }
  }
  return root;
}

async function end(container: Deno.ChildProcess): Promise<void> {
  try {
    container.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
  await container.status;
}
