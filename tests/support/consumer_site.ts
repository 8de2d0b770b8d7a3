/** Agents of one site, each in a folder of its own, with one emulated ilert. */

import { AgentProcess, freePort, runAgent } from "./agent_process.ts";
import { IlertEmulator, type IlertEmulatorOptions } from "./ilert_emulator.ts";
import { TempFolder } from "./temp_folder.ts";
import { until } from "./until.ts";

export const API_KEY = "il1prv-consumer-site";

/** The n-th event of a test, as a message; `lane` is its alert key. */
export function eventMessage(n: number, lane: number | string = n): string {
  return JSON.stringify({
    integrationKey: "il1api-consumer",
    eventType: "ALERT",
    summary: `Alert ${n}`,
    alertKey: `lane-${lane}`,
    customDetails: { n },
  });
}

export interface SiteAgent {
  readonly process: AgentProcess;
  readonly folder: string;
  /** The status and body of `/ready`. */
  ready(): Promise<{ status: number; body: Record<string, unknown> | null }>;
  /** Resolves once `/ready` answers 204. */
  isReady(timeoutMs?: number): Promise<void>;
  /** A figure of `/metrics`, by its name with its labels; 0 where it is not there. */
  figure(name: string): Promise<number>;
}

export class ConsumerSite implements AsyncDisposable {
  readonly ilert: IlertEmulator;
  readonly #root = new TempFolder();
  readonly #agents: AgentProcess[] = [];

  private constructor(ilert: IlertEmulator) {
    this.ilert = ilert;
  }

  static async start(options: IlertEmulatorOptions = {}): Promise<ConsumerSite> {
    return new ConsumerSite(await IlertEmulator.start(options));
  }

  /**
   * Runs a command line as the guide has it, `ilagent` left out, in the folder of that name. What the guide does not
   * name, a port to ask for readiness and where ilert is, comes from the environment.
   */
  async agent(folder: string, commandLine: string): Promise<SiteAgent> {
    const path = `${this.#root.path}/${folder}`;
    await Deno.mkdir(path, { recursive: true });
    const port = await freePort();
    const process = AgentProcess.start({
      command: "built",
      args: commandLine.split(" "),
      cwd: path,
      env: {
        ILAGENT_PORT: `${port}`,
        ILAGENT_HOST: "127.0.0.1",
        ILAGENT_VERBOSE: "2",
        ILERT_API_HOST: this.ilert.url,
        ILERT_HEARTBEAT_HOST: this.ilert.url,
        ILERT_API_KEY: API_KEY,
      },
    });
    this.#agents.push(process);
    await process.ready();
    return new RunningAgent(process, path);
  }

  /** On the file in that folder, as an operator would. */
  async run(folder: string, commandLine: string): Promise<{ code: number; stdout: string; stderr: string }> {
    return await runAgent(commandLine.split(" "), {
      command: "built",
      cwd: `${this.#root.path}/${folder}`,
    });
  }

  /** How many different events ilert has taken. */
  get arrived(): number {
    return this.ilert.acceptedCount - this.ilert.duplicates;
  }

  async allArrived(count: number, timeoutMs = 60_000): Promise<void> {
    await this.ilert.waitFor(() => this.arrived >= count, { timeoutMs });
  }

  /** The sum that shows that nothing was lost in that folder's file. */
  async audit(folder: string): Promise<Record<string, number | boolean>> {
    return JSON.parse((await this.run(folder, "audit --json")).stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) await agent[Symbol.asyncDispose]();
    await this.ilert[Symbol.asyncDispose]();
    this.#root[Symbol.dispose]();
  }
}

class RunningAgent implements SiteAgent {
  constructor(readonly process: AgentProcess, readonly folder: string) {}

  async ready(): Promise<{ status: number; body: Record<string, unknown> | null }> {
    const response = await fetch(`${this.process.url}/ready`);
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  }

  async isReady(timeoutMs = 20_000): Promise<void> {
    let last: unknown = null;
    await until(
      async () => {
        const { status, body } = await this.ready();
        last = body;
        return status === 204;
      },
      "the agent is ready",
      timeoutMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; it says ${JSON.stringify(last)}:\n${this.process.lines.join("\n")}`);
    });
  }

  async figure(name: string): Promise<number> {
    const text = await (await fetch(`${this.process.url}/metrics`)).text();
    const line = text.split("\n").find((line) => line.startsWith(`${name} `));
    return Number(line?.slice(name.length) ?? 0);
  }
}
