/** The demo's agent, over its restarts: one file, one port. */

import { join } from "node:path";
import { AgentProcess, freePort, runAgent } from "../../tests/support/agent_process.ts";

export class AgentRuns {
  readonly #folder: string;
  readonly #runs: AgentProcess[] = [];
  #port = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get #current(): AgentProcess {
    const current = this.#runs.at(-1);
    if (current === undefined) throw new Error("the agent was never started");
    return current;
  }

  get pid(): number {
    return this.#current.pid;
  }

  get url(): string {
    return this.#current.url;
  }

  get lines(): string[] {
    return this.#runs.flatMap((run) => run.lines);
  }

  async start(ilertUrl: string): Promise<void> {
    if (this.#port === 0) this.#port = await freePort();
    const args = ["-v", "-v", "daemon", "--host", "127.0.0.1", "-p", `${this.#port}`, "-f", this.#file];
    const env = { ILERT_API_HOST: ilertUrl, ILERT_HEARTBEAT_HOST: ilertUrl };
    this.#runs.push(AgentProcess.start({ args, env, cwd: this.#folder }));
    await this.#current.ready();
  }

  async stop(): Promise<number> {
    return await this.#current.stop();
  }

  async kill(): Promise<void> {
    await this.#runs.at(-1)?.kill();
  }

  async audit(): Promise<{ holds: boolean; verdict: string }> {
    const { code, stdout, stderr } = await runAgent(["audit", "-f", this.#file], { cwd: this.#folder });
    return { holds: code === 0, verdict: (stdout + stderr).trim().split("\n").at(-1) ?? "" };
  }

  get #file(): string {
    return join(this.#folder, "ilagent.db3");
  }
}
