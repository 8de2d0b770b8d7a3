/**
 * A copy of this machine to install things in, for root on Linux: its own view of the file system, where every change
 * goes into memory; its own processes; and its own loopback as the only network. All of it is gone afterwards.
 */

import { TempFolder } from "./temp_folder.ts";
import { until } from "./until.ts";

/** Mounts inside of the new namespaces, then waits there to be ended. */
const SETUP = `
set -eu
ip link set lo up 2>/dev/null || ifconfig lo up
mount -t tmpfs -o size=2g tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
: >"$1/ready"
# Not exec: the first process of a system has to collect those that nobody waits for.
sleep 600 &
wait
`;

export class ThrowawaySystem implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #keeper: Deno.ChildProcess;

  private constructor() {
    this.#keeper = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private"],
        ...["sh", "-c", SETUP, "sh", this.#folder.path],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
  }

  static async start(): Promise<ThrowawaySystem> {
    const system = new ThrowawaySystem();
    await until(async () => (await system.run(["true"])).code === 0, "a system to run things in");
    return system;
  }

  async run(command: readonly string[]): Promise<{ code: number; output: string }> {
    const inside = await this.#pid();
    if (inside === null) return { code: -1, output: "not there yet" };
    const { code, stdout, stderr } = await new Deno.Command("nsenter", {
      args: [
        ...["--target", inside, "--mount", "--pid", "--net"],
        ...["chroot", this.#folder.file("root"), ...command],
      ],
      stdin: "null",
    }).output();
    return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  }

  /** Of the first process inside, which is the only child of unshare. */
  async #pid(): Promise<string | null> {
    const path = `/proc/${this.#keeper.pid}/task/${this.#keeper.pid}/children`;
    return (await Deno.readTextFile(path)).trim() || null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#keeper.kill("SIGKILL");
    await this.#keeper.status;
    this.#folder[Symbol.dispose]();
  }
}
