/** Edge connectors between an emulated ilert and a target: started, killed and looked into. */

import { DatabaseSync } from "node:sqlite";
import { type AgentCommand, AgentProcess } from "../../tests/support/agent_process.ts";
import { edgePayload } from "../../tests/support/edge_items.ts";
import { IlertEmulator, type IlertEmulatorOptions } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";

/** What one poll brings. */
export const BATCH_ITEMS = 100;
/** Order is promised within an alert, so each has many items. */
export const ALERTS = 7;
export const POLL_SECONDS = "5";

export class EdgeSite implements AsyncDisposable {
  readonly ilert: IlertEmulator;
  readonly #command: AgentCommand;
  readonly #folder = new TempFolder();
  readonly #agents: AgentProcess[] = [];
  #items = 0;

  private constructor(ilert: IlertEmulator, command: AgentCommand) {
    this.ilert = ilert;
    this.#command = command;
  }

  static async start(command: AgentCommand, options: IlertEmulatorOptions = {}): Promise<EdgeSite> {
    return new EdgeSite(await IlertEmulator.start({ record: "counts", ...options }), command);
  }

  /** Items at ilert so far; their ids are 1, 2, 3, …. */
  get items(): number {
    return this.#items;
  }

  add(count: number): void {
    for (let left = count; left > 0; left--) {
      const n = ++this.#items;
      this.ilert.edge.add(edgePayload(n, n % ALERTS));
    }
  }

  /** `name` is that of its file. */
  agent(name: string, flags: readonly string[]): AgentProcess {
    const agent = AgentProcess.start({
      command: this.#command,
      args: ["daemon", "-f", this.#file(name), "--edge_poll_interval", POLL_SECONDS, ...flags],
      env: {
        ILERT_API_HOST: this.ilert.url,
        ILERT_HEARTBEAT_HOST: this.ilert.url,
        ILERT_EDGE_CONNECTOR_KEY: "iec1-faults",
      },
      cwd: this.#folder.path,
    });
    this.#agents.push(agent);
    return agent;
  }

  /** As the file of an agent that is not running has it. A copy is read: the agent shall find its file as it left it. */
  async cursor(name: string): Promise<number> {
    const copy = this.#folder.file("copy.db3");
    for (const end of ["", "-wal"]) {
      await Deno.remove(copy + end).catch(ignoreMissing);
      await Deno.copyFile(this.#file(name) + end, copy + end).catch(ignoreMissing);
    }
    using database = new DatabaseSync(copy);
    // Killed in its first moments, an agent leaves a file without tables.
    const isEmpty =
      database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'ilagent'").get() === undefined;
    if (isEmpty) return 0;
    const row = database.prepare("SELECT val FROM ilagent WHERE key LIKE 'edge_cursor:%'").get();
    return Number(row?.val ?? 0);
  }

  /** Of a running agent too: the status by item. */
  deadLetters(name: string): Map<number, number | null> {
    using database = new DatabaseSync(this.#file(name), { readOnly: true, timeout: 5_000 });
    const rows = database.prepare("SELECT id, status FROM dead_letters").all();
    return new Map(rows.map(({ id, status }) => [Number(id), status === null ? null : Number(status)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => {
      // A stopped process would not end before it goes on.
      agent.signal("SIGCONT");
      return agent[Symbol.asyncDispose]();
    }));
    await this.ilert[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }

  #file(name: string): string {
    return this.#folder.file(`${name}.db3`);
  }
}

/** What overtook an earlier item of its alert when it arrived for the first time, as text; null where nothing did. */
export function overtaking(numbers: readonly number[]): string | null {
  const seen = new Set<number>();
  const latest = new Map<number, number>();
  for (const number of numbers) {
    if (seen.has(number)) continue;
    seen.add(number);
    const before = latest.get(number % ALERTS) ?? 0;
    if (number < before) return `item ${number} came after item ${before}`;
    latest.set(number % ALERTS, number);
  }
  return null;
}

/** Of 1 to `count`. */
export function missing(numbers: Iterable<number>, count: number): number[] {
  const seen = new Set(numbers);
  return Array.from({ length: count }, (_, at) => at + 1).filter((number) => !seen.has(number));
}

/** Killed still earlier, it leaves none. */
function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
