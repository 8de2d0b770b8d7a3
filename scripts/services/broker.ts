/**
 * A broker as a process of its own: over its restarts the same folder, ports and command.
 *
 *     started ──kill() or stop()──▶ down ──restart()──▶ started
 */

import { signalChild, WatchedProcess } from "../../tests/support/watched_process.ts";

export interface BrokerCommand {
  /** For errors: "Mosquitto". */
  name: string;
  program: string;
  args: readonly string[];
  env?: Record<string, string>;
  /** Written once connections are accepted. */
  ready: RegExp;
}

const START_TIMEOUT_MS = 60_000, SIGNAL_AGAIN_MS = 500;

/** Its own folder goes with it, when it is disposed. */
export class Broker implements AsyncDisposable {
  protected readonly folder: string;
  readonly #command: BrokerCommand;
  readonly #runs: WatchedProcess[] = [];

  constructor(folder: string, command: BrokerCommand) {
    this.folder = folder;
    this.#command = command;
  }

  get pid(): number {
    return this.#current.pid;
  }

  /** What it wrote, over all its runs. */
  get log(): string {
    return this.#runs.flatMap(({ lines }) => lines).join("\n");
  }

  /** SIGKILL, as a crash would do it: what was not on disk is gone. */
  async kill(): Promise<void> {
    await this.#current.kill();
  }

  /** SIGTERM, as an administrator would do it; again while it goes on: Mosquitto forgets one that comes too early. */
  async stop(): Promise<void> {
    const again = setInterval(() => this.signal("SIGTERM"), SIGNAL_AGAIN_MS);
    try {
      await this.#current.stop();
    } finally {
      clearInterval(again);
    }
  }

  /** Stops it first where it still runs. Resolves once it accepts connections again. */
  async restart(): Promise<void> {
    if (this.#current.status === null) await this.stop();
    await this.run();
  }

  /** SIGSTOP keeps connections open and answers nothing, until SIGCONT. */
  signal(name: Deno.Signal): void {
    this.#current.signal(name);
  }

  async waitForLine(pattern: RegExp, timeoutMs?: number): Promise<string> {
    return await this.#current.waitForLine(pattern, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runs.at(-1)?.kill();
    await Deno.remove(this.folder, { recursive: true });
  }

  /** For those who make one: rejects, with its output, when it does not get ready. */
  protected async run(): Promise<void> {
    const { name, program, args, env = {}, ready } = this.#command;
    const child = new Deno.Command(program, {
      ...{ args: [...args], env, cwd: this.folder },
      ...{ stdin: "null", stdout: "piped", stderr: "piped" },
    }).spawn();
    const run = new WatchedProcess(name, child);
    this.#runs.push(run);
    try {
      await run.waitForLine(ready, START_TIMEOUT_MS);
    } catch (error) {
      signalChild(child, "SIGKILL");
      await run.exit;
      throw error;
    }
  }

  get #current(): WatchedProcess {
    const current = this.#runs.at(-1);
    if (current === undefined) throw new Error(`${this.#command.name} was never started`);
    return current;
  }
}
