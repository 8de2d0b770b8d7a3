/** What a bench works with: its processes, a temporary folder, and where its figures go. All of it ends with it. */

import { join } from "node:path";
import { AgentProcess, BUILT, freePort } from "../../tests/support/agent_process.ts";
import type { Fault } from "../../tests/support/ilert_faults.ts";
import { BARE_SERVER } from "./bare_server.ts";
import { Conversation } from "./conversation.ts";
import { type ApiQuestion, type ApiState, EMULATED_API } from "./emulated_api.ts";
import { FIRST_NUMBER } from "./events.ts";
import { FETCH_LOOP, type FetchOrder } from "./fetch_loop.ts";
import { type Figure, figureOf, type Measured } from "./figures.ts";
import { LOAD_GENERATOR, type LoadOrder, type LoadReport } from "./load_generator.ts";

export interface StageOptions {
  agent: readonly string[] | null;
  seconds: number;
  scale: number;
  onFigure: (figure: Figure) => void;
  onNote: (text: string) => void;
}

export interface AgentOptions {
  apiUrl: string;
  /** After `daemon -p PORT -f FILE`. */
  args?: readonly string[];
  /** Default: a new one. */
  file?: string;
  port?: number;
  /** Default: the agent that is measured. */
  command?: readonly string[];
  /** Beside the hosts of the emulated API. */
  env?: Readonly<Record<string, string>>;
}

/** A few alert sources, as most installations have. */
export const INTEGRATION_KEYS: readonly string[] = ["bench-a", "bench-b", "bench-c", "bench-d"];

/** More than any order posts. */
const NUMBERS_PER_ORDER = 10_000_000;
const REMOVE_ATTEMPTS = 5, REMOVE_PAUSE_MS = 200;

export class Stage implements AsyncDisposable {
  readonly options: StageOptions;
  readonly folder: string;
  readonly #processes: AsyncDisposable[] = [];
  #isOver = false;
  #files = 0;
  #nextNumber = FIRST_NUMBER;

  private constructor(folder: string, options: StageOptions) {
    this.folder = folder;
    this.options = options;
  }

  static async set(options: StageOptions): Promise<Stage> {
    return new Stage(await Deno.makeTempDir({ prefix: "ilagent-bench-" }), options);
  }

  get agentCommand(): readonly string[] {
    return this.options.agent ?? [BUILT];
  }

  /** `count`, multiplied by `--scale`. */
  scaled(count: number, min = 1): number {
    return Math.max(min, Math.round(count * this.options.scale));
  }

  figure(measured: Measured): void {
    this.options.onFigure(figureOf(measured));
  }

  note(text: string): void {
    this.options.onNote(text);
  }

  /** A running agent. */
  async agent(options: AgentOptions): Promise<AgentProcess> {
    const agent = await this.startAgent(options);
    await agent.ready();
    return agent;
  }

  /** A process that may not be ready yet. */
  async startAgent({ apiUrl, args = [], file, port, command, env }: AgentOptions): Promise<AgentProcess> {
    const listening = port ?? await freePort();
    return this.own(AgentProcess.start({
      command: command ?? this.agentCommand,
      args: ["daemon", "-p", `${listening}`, "-f", file ?? this.newFile(), ...args],
      env: { ILERT_API_HOST: apiUrl, ILERT_HEARTBEAT_HOST: apiUrl, ...env },
      cwd: this.folder,
    }));
  }

  async startBareServer(port?: number): Promise<AgentProcess> {
    return this.own(AgentProcess.start({
      command: [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net", BARE_SERVER],
      args: ["-p", `${port ?? await freePort()}`],
      cwd: this.folder,
    }));
  }

  async bareServer(): Promise<AgentProcess> {
    const server = await this.startBareServer();
    await server.ready();
    return server;
  }

  newFile(): string {
    return join(this.folder, `queue-${++this.#files}.db3`);
  }

  async api(): Promise<ApiClient> {
    return await ApiClient.over(this.own(new Conversation<ApiQuestion, ApiState>(EMULATED_API)));
  }

  generator(): LoadClient {
    return new LoadClient(
      this.own(new Conversation<LoadOrder, LoadReport>(LOAD_GENERATOR)),
      () => this.takeNumbers(),
    );
  }

  fetchLoop(): Conversation<FetchOrder, null> {
    return this.own(new Conversation<FetchOrder, null>(FETCH_LOOP));
  }

  /** The first of numbers that no other order of this bench has. */
  takeNumbers(): number {
    const first = this.#nextNumber;
    this.#nextNumber += NUMBERS_PER_ORDER;
    return first;
  }

  /** Ends with the stage. */
  own<T extends AsyncDisposable>(process: T): T {
    this.#processes.push(process);
    if (this.#isOver) {
      void process[Symbol.asyncDispose]();
      throw new Error("The bench is over");
    }
    return process;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#processes.map((process) => process[Symbol.asyncDispose]()));
    for (let attempt = 1;; attempt++) {
      try {
        return await Deno.remove(this.folder, { recursive: true });
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return;
        // A bench that was cut off may just have written into it.
        if (attempt === REMOVE_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, REMOVE_PAUSE_MS));
      }
    }
  }
}

/** Posts events. */
export class LoadClient {
  readonly #process: Conversation<LoadOrder, LoadReport>;
  readonly #takeNumbers: () => number;

  constructor(process: Conversation<LoadOrder, LoadReport>, takeNumbers: () => number) {
    this.#process = process;
    this.#takeNumbers = takeNumbers;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Defaults: 32 connections, no pauses, the keys of all benches, numbers of its own. */
  async load(
    order: Pick<LoadOrder, "url" | "until"> & Partial<LoadOrder>,
  ): Promise<LoadReport & { firstNumber: number }> {
    const firstNumber = order.firstNumber ?? this.#takeNumbers();
    const defaults = { connections: 32, integrationKeys: INTEGRATION_KEYS, spacingMs: 0 };
    return { ...await this.#process.ask({ ...defaults, ...order, firstNumber }), firstNumber };
  }
}

/** The emulated API. */
export class ApiClient {
  readonly url: string;
  readonly #process: Conversation<ApiQuestion, ApiState>;

  private constructor(process: Conversation<ApiQuestion, ApiState>, url: string) {
    this.#process = process;
    this.url = url;
  }

  static async over(process: Conversation<ApiQuestion, ApiState>): Promise<ApiClient> {
    return new ApiClient(process, (await process.ask({ kind: "state" })).url);
  }

  get pid(): number {
    return this.#process.pid;
  }

  async reset(faults: Fault[] = [], keepArrivals = false): Promise<void> {
    await this.#process.ask({ kind: "reset", faults, keepArrivals });
  }

  async faults(faults: Fault[]): Promise<ApiState> {
    return await this.#process.ask({ kind: "faults", faults });
  }

  async down(): Promise<void> {
    await this.#process.ask({ kind: "down" });
  }

  async up(): Promise<ApiState> {
    return await this.#process.ask({ kind: "up" });
  }

  async state(): Promise<ApiState> {
    return await this.#process.ask({ kind: "state" });
  }

  /** Also returns, with fewer, when the time is over. */
  async until(delivered: number, timeoutMs: number): Promise<ApiState> {
    return await this.#process.ask({ kind: "until", delivered, timeoutMs });
  }

  async arrivals(): Promise<Map<number, number>> {
    return new Map((await this.#process.ask({ kind: "arrivals" })).arrivals);
  }
}
