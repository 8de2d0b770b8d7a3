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
/** Beyond the agent's own 25 s for what is in hand. */
const STOP_TIMEOUT_MS = 35_000;
const RUN_TIMEOUT_MS = 70_000;
const WAIT_FOR_LINE_TIMEOUT_MS = 10_000;
const DRAIN_TIMEOUT_MS = 1_000;
/** Of the latest output. */
const LINES_MAX = 10_000;
const LINE_CHARACTERS_MAX = 20_000;
const LINES_IN_ERRORS = 20;

export class AgentProcess implements AsyncDisposable {
  /** Resolves once the process has ended and its output is read. */
  readonly exit: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #output = new OutputLines();
  readonly #url: string | null;
  #status: Deno.CommandStatus | null = null;

  private constructor(child: Deno.ChildProcess, url: string | null) {
    this.#child = child;
    this.#url = url;
    this.exit = this.#watch();
  }

  /** Throws when there is no such program. */
  static start({ args, ...options }: StartOptions): AgentProcess {
    return new AgentProcess(commandOf(args, options).spawn(), urlOf(args, options.env));
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** `http://127.0.0.1:<port>`. Throws when the agent was started without a port. */
  get url(): string {
    if (this.#url === null) throw new Error("This agent has no URL: it was started without -p");
    return this.#url;
  }

  /** Both streams as they came in. */
  get lines(): string[] {
    return this.#output.of(null);
  }

  get stdoutLines(): string[] {
    return this.#output.of("stdout");
  }

  get stderrLines(): string[] {
    return this.#output.of("stderr");
  }

  /** Resolves once `GET /health` answers 204. Rejects, with the last lines, at the end of the process or of the time. */
  async ready(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!await isHealthy(this.url)) {
      if (this.#status !== null) {
        await this.exit;
        throw this.#failure(`ended with exit code ${this.#status.code} before it was ready`);
      }
      if (performance.now() > deadline) throw this.#failure(`was not ready within ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
  }

  /** The first line, past or to come, that matches. Rejects at the end of the process or of the time. */
  async waitForLine(pattern: RegExp, timeoutMs = WAIT_FOR_LINE_TIMEOUT_MS): Promise<string> {
    const seen = this.lines.find((line) => line.search(pattern) >= 0);
    if (seen !== undefined) return seen;
    const found = Promise.withResolvers<string>();
    const watcher = (line: string) => {
      if (line.search(pattern) >= 0) found.resolve(line);
    };
    const fail = (what: string) => found.reject(this.#failure(`${what} a line like ${pattern}`));
    const timer = setTimeout(() => fail(`did not write within ${timeoutMs} ms`), timeoutMs);
    this.#output.watchers.add(watcher);
    void this.exit.then(() => fail("ended without"));
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#output.watchers.delete(watcher);
    }
  }

  /** Does nothing to a process that has ended. */
  signal(name: Deno.Signal): void {
    if (this.#status === null) signalChild(this.#child, name);
  }

  /** SIGKILL, as a crash would do it. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exit;
  }

  /** SIGTERM; answers with the exit code. Kills the agent and rejects when it does not end in time. */
  async stop(timeoutMs = STOP_TIMEOUT_MS): Promise<number> {
    let overdue = false;
    const timer = setTimeout(() => {
      overdue = true;
      this.signal("SIGKILL");
    }, timeoutMs);
    this.signal("SIGTERM");
    const { code } = await this.exit;
    clearTimeout(timer);
    if (overdue) throw this.#failure(`did not end within ${timeoutMs} ms of SIGTERM`);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #watch(): Promise<Deno.CommandStatus> {
    const { stdout, stderr, status } = this.#child;
    const abort = new AbortController();
    const reading = Promise.all([
      this.#output.read("stdout", stdout, abort.signal),
      this.#output.read("stderr", stderr, abort.signal),
    ]);
    this.#status = await status;
    // A program that the agent has started may outlive it and hold its streams open.
    const timer = setTimeout(() => abort.abort(), DRAIN_TIMEOUT_MS);
    await reading;
    clearTimeout(timer);
    return this.#status;
  }

  #failure(what: string): Error {
    const last = this.lines.slice(-LINES_IN_ERRORS).map((line) => `\n  ${line}`).join("");
    return new Error(
      `The agent (${this.pid}) ${what}${last === "" ? "; it wrote nothing" : `; it wrote:${last}`}`,
    );
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

function signalChild(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It ended a moment ago; its status tells how.
  }
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

class OutputLines {
  /** Called with every new line. */
  readonly watchers = new Set<(line: string) => void>();
  readonly #kept: { stream: "stdout" | "stderr"; line: string }[] = [];

  of(stream: "stdout" | "stderr" | null): string[] {
    return this.#kept.filter((kept) => stream === null || kept.stream === stream).map(({ line }) => line);
  }

  /** Until its end, or until the signal. What is too long for a line is cut off. */
  async read(
    stream: "stdout" | "stderr",
    bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
    signal: AbortSignal,
  ): Promise<void> {
    let rest = "";
    const write = (text: string) => {
      const lines = (rest + text).split("\n");
      rest = (lines.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
      for (const line of lines) this.#keep(stream, line.slice(0, LINE_CHARACTERS_MAX));
    };
    await bytes.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write }), { signal })
      .catch(() => {});
    if (rest !== "") this.#keep(stream, rest);
  }

  #keep(stream: "stdout" | "stderr", line: string): void {
    this.#kept.push({ stream, line });
    // A tenth at a time: moving all the others for each line would cost more than the reading.
    if (this.#kept.length > LINES_MAX) this.#kept.splice(0, LINES_MAX / 10);
    for (const watcher of this.watchers) watcher(line);
  }
}
