/**
 * The agent as its users run it: a process of its own, to start, watch, stop and kill.
 *
 *     await using agent = AgentProcess.start({ command: "built", args: ["daemon", "-p", `${await freePort()}`] });
 *     await agent.ready();
 */

import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { listenOnFreePort } from "./ilert_listener.ts";
import { signalChild, WatchedProcess } from "./watched_process.ts";

/**
 * - "built": what the variable ILAGENT_COMMAND names (a program and its first arguments, separated by spaces), else
 *   `dist/ilagent`.
 * - "source": `main.ts` in this Deno, with the rights of the built file.
 * - a list: that program with those first arguments.
 */
export type AgentCommand = "built" | "source" | readonly string[];

export interface RunOptions {
  /** Default: ILAGENT_COMMAND where it is set, else "source". */
  command?: AgentCommand;
  /** All that it sees beside `PASSED_VARIABLES`. */
  env?: Record<string, string>;
  cwd?: string;
}

export interface StartOptions extends RunOptions {
  args: readonly string[];
}

export const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));
export const BUILT = fileURLToPath(new URL("../../dist/ilagent", import.meta.url));

/** What a program needs to start and to find its caches; an ILERT_* of the developer must not leak in. */
const PASSED_VARIABLES = [
  ...["PATH", "HOME", "ILAGENT_CACHE_DIR", "XDG_CACHE_HOME", "DENO_DIR", "NPM_CONFIG_REGISTRY"],
  ...["SYSTEMROOT", "LOCALAPPDATA", "USERPROFILE"],
];
const READY_TIMEOUT_MS = 20_000;
const POLL_INTERVAL_MS = 20, POLL_TIMEOUT_MS = 1_000;
const RUN_TIMEOUT_MS = 70_000;

export class AgentProcess extends WatchedProcess {
  readonly #url: string | null;

  private constructor(child: Deno.ChildProcess, url: string | null) {
    super("The agent", child);
    this.#url = url;
  }

  /** Throws when there is no such program. */
  static start({ args, ...options }: StartOptions): AgentProcess {
    return new AgentProcess(commandOf(args, options).spawn(), urlOf(args, options.env));
  }

  /** `http://127.0.0.1:<port>`. Throws when the agent was started without a port. */
  get url(): string {
    if (this.#url === null) throw new Error("This agent has no URL: it was started without -p");
    return this.#url;
  }

  /** Resolves once `GET /health` answers 204. Rejects, with the last lines, at the end of the process or of the time. */
  async ready(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!await isHealthy(this.url)) {
      if (this.status !== null) {
        await this.exit;
        throw this.failure(`ended with exit code ${this.status.code} before it was ready`);
      }
      if (performance.now() > deadline) throw this.failure(`was not ready within ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
  }
}

/** Runs a command that ends by itself. Rejects when it takes longer than `timeoutMs`. */
export async function runAgent(
  args: readonly string[],
  { timeoutMs = RUN_TIMEOUT_MS, stdin, ...options }: RunOptions & { timeoutMs?: number; stdin?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = commandOf(args, options, stdin === undefined ? "null" : "piped").spawn();
  let overdue = false;
  const timer = setTimeout(() => {
    overdue = true;
    signalChild(child, "SIGKILL");
  }, timeoutMs);
  const given = stdin === undefined ? Promise.resolve() : write(child.stdin, stdin);
  const [{ code, stdout, stderr }] = await Promise.all([child.output(), given]);
  clearTimeout(timer);
  const decoder = new TextDecoder();
  const result = { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  if (overdue) throw new Error(`ilagent ${args[0]} did not end within ${timeoutMs} ms: ${result.stderr}`);
  return result;
}

/** A port that was free a moment ago, below the range of outgoing connections: see `listenOnFreePort()`. */
export async function freePort(): Promise<number> {
  const { port } = await listenOnFreePort((port) => {
    Deno.listen({ hostname: "0.0.0.0", port }).close();
    return { port, close: () => Promise.resolve() };
  });
  return port;
}

async function write(stream: WritableStream<Uint8Array>, text: string): Promise<void> {
  try {
    await new Blob([text]).stream().pipeTo(stream);
  } catch {
    // It ended without reading all of it, as its exit code tells.
  }
}

function commandOf(
  args: readonly string[],
  { command, env, cwd }: RunOptions,
  stdin: "null" | "piped" = "null",
): Deno.Command {
  const [program = "", ...firstArgs] = programOf(command);
  return new Deno.Command(program, {
    args: [...firstArgs, ...args],
    clearEnv: true,
    env: { ...passedVariables(), ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

function programOf(command: AgentCommand | undefined): readonly string[] {
  if (typeof command === "object") return command;
  const [program, ...args] = (Deno.env.get("ILAGENT_COMMAND") ?? "").match(/\S+/g) ?? [];
  // A path is meant from here, not from the folder that the agent will run in.
  if (program !== undefined && command !== "source") {
    return [/[/\\]/.test(program) ? resolve(program) : program, ...args];
  }
  return command === "built" ? [BUILT] : [Deno.execPath(), "run", "--quiet", ...PERMISSION_FLAGS, MAIN];
}

function passedVariables(): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of PASSED_VARIABLES) {
    const value = Deno.env.get(name);
    if (value !== undefined) passed[name] = value;
  }
  return passed;
}

function urlOf(args: readonly string[], env: Record<string, string> = {}): string | null {
  const at = args.findIndex((arg) => arg === "-p" || arg === "--port");
  const port = at >= 0 ? args[at + 1] : env["ILAGENT_PORT"];
  return port === undefined ? null : `http://127.0.0.1:${port}`;
}

async function isHealthy(url: string): Promise<boolean> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), POLL_TIMEOUT_MS);
  try {
    const response = await fetch(`${url}/health`, { signal: abort.signal });
    await response.body?.cancel();
    return response.status === 204;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
