/** One agent over its restarts: one file, one port, one ilert. */

import {
  type AgentCommand,
  AgentProcess,
  BUILT,
  freePort,
  runAgent,
} from "../../tests/support/agent_process.ts";

export interface Ledger {
  accepted: number;
  delivered: number;
  queued: number;
  dead: number;
  holds: boolean;
}

export interface AgentRunsOptions {
  command: AgentCommand;
  /** Of the database; the agent runs in its folder. */
  file: string;
  ilertUrl: string;
  flags?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** An agent that does not answer at all must not stall a run. */
const POST_MS_MAX = 40_000;

export class AgentRuns implements AsyncDisposable {
  readonly url: string;
  readonly file: string;
  /** Where the next start sends its events. */
  ilertUrl: string;
  readonly #command: AgentCommand;
  readonly #flags: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #run: AgentProcess | null = null;

  private constructor(options: AgentRunsOptions, readonly port: number) {
    this.file = options.file;
    this.ilertUrl = options.ilertUrl;
    this.url = `http://127.0.0.1:${port}`;
    this.#command = options.command;
    this.#flags = options.flags ?? [];
    this.#env = options.env ?? {};
  }

  static async of(options: AgentRunsOptions): Promise<AgentRuns> {
    return new AgentRuns(options, await freePort());
  }

  /** The latest run. Throws where there was none. */
  get current(): AgentProcess {
    if (this.#run === null) throw new Error("the agent was never started");
    return this.#run;
  }

  /** Without waiting for anything. `wrapped` turns the agent's program into the one to be run. */
  spawn(wrapped?: (program: readonly string[]) => readonly string[]): AgentProcess {
    return this.#run = AgentProcess.start({
      command: wrapped === undefined ? this.#command : wrapped(programOf(this.#command)),
      args: ["daemon", "--host", "127.0.0.1", "-p", `${this.port}`, "-f", this.file, ...this.#flags],
      env: { ILERT_API_HOST: this.ilertUrl, ILERT_HEARTBEAT_HOST: this.ilertUrl, ...this.#env },
      cwd: folderOf(this.file),
    });
  }

  /** Resolves once it is healthy. */
  async start(): Promise<void> {
    await this.spawn().ready();
  }

  async kill(): Promise<void> {
    await this.#run?.kill();
  }

  async post(event: Record<string, unknown>): Promise<Response> {
    return await fetch(`${this.url}/api/events`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(POST_MS_MAX),
    });
  }

  /** The status of an answer nobody needs to read; null where there was none. */
  async postedStatus(event: Record<string, unknown>): Promise<number | null> {
    return await this.post(event).then(async ({ status, body }) => {
      await body?.cancel();
      return status;
    }, () => null);
  }

  async status(path: string): Promise<number> {
    const response = await fetch(this.url + path, { signal: AbortSignal.timeout(POST_MS_MAX) });
    await response.body?.cancel();
    return response.status;
  }

  /** `ilagent audit`. Throws where it has no answer. */
  async audit(): Promise<Ledger> {
    const run = await runAgent(["audit", "-f", this.file, "--json"], { command: this.#command });
    try {
      return JSON.parse(run.stdout);
    } catch {
      throw new Error(`the audit ended with ${run.code} and no JSON: ${run.stdout}${run.stderr}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

export function programOf(command: AgentCommand): readonly string[] {
  if (typeof command === "object") return command;
  if (command === "built") return [BUILT];
  throw new Error("faults are tried on a built agent or on a named command");
}

export function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf("/"));
}

/** An event of a lane; `n` is what the emulator tells events apart by. */
export function alert(n: number, lane: number | string, more: Record<string, unknown> = {}) {
  return {
    apiKey: "il1api-faults",
    eventType: "ALERT",
    summary: `Alert ${n}`,
    alertKey: `lane-${lane}`,
    customDetails: { n },
    ...more,
  };
}
