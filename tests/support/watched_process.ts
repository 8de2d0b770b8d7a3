/** A program as a process of its own, to watch, stop and kill, with its latest output in every error. */

/** Beyond the 25 s that the agent itself takes for what is in hand. */
const STOP_TIMEOUT_MS = 35_000;
const WAIT_FOR_LINE_TIMEOUT_MS = 10_000;
const DRAIN_TIMEOUT_MS = 1_000;
/** Of the latest output. */
const LINES_MAX = 10_000;
const LINE_CHARACTERS_MAX = 20_000;
const LINES_IN_ERRORS = 20;

export class WatchedProcess implements AsyncDisposable {
  /** Resolves once the process has ended and its output is read. */
  readonly exit: Promise<Deno.CommandStatus>;
  readonly #name: string;
  readonly #child: Deno.ChildProcess;
  readonly #output = new OutputLines();
  #status: Deno.CommandStatus | null = null;

  /** `name` is for errors: "The agent". Both streams of `child` must be piped. */
  constructor(name: string, child: Deno.ChildProcess) {
    this.#name = name;
    this.#child = child;
    this.exit = this.#watch();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** null while it runs. */
  get status(): Deno.CommandStatus | null {
    return this.#status;
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

  /** The first line, past or to come, that matches. Rejects at the end of the process or of the time. */
  async waitForLine(pattern: RegExp, timeoutMs = WAIT_FOR_LINE_TIMEOUT_MS): Promise<string> {
    const seen = this.lines.find((line) => line.search(pattern) >= 0);
    if (seen !== undefined) return seen;
    const found = Promise.withResolvers<string>();
    const watcher = (line: string) => {
      if (line.search(pattern) >= 0) found.resolve(line);
    };
    const fail = (what: string) => found.reject(this.failure(`${what} a line like ${pattern}`));
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

  /** SIGTERM; answers with the exit code. Kills the process and rejects when it does not end in time. */
  async stop(timeoutMs = STOP_TIMEOUT_MS): Promise<number> {
    let overdue = false;
    const timer = setTimeout(() => {
      overdue = true;
      this.signal("SIGKILL");
    }, timeoutMs);
    this.signal("SIGTERM");
    const { code } = await this.exit;
    clearTimeout(timer);
    if (overdue) throw this.failure(`did not end within ${timeoutMs} ms of SIGTERM`);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** For a subclass or owner that waited for something in vain. */
  failure(what: string): Error {
    const last = this.lines.slice(-LINES_IN_ERRORS).map((line) => `\n  ${line}`).join("");
    return new Error(
      `${this.#name} (${this.pid}) ${what}${last === "" ? "; it wrote nothing" : `; it wrote:${last}`}`,
    );
  }

  async #watch(): Promise<Deno.CommandStatus> {
    const { stdout, stderr, status } = this.#child;
    const abort = new AbortController();
    const reading = Promise.all([
      this.#output.read("stdout", stdout, abort.signal),
      this.#output.read("stderr", stderr, abort.signal),
    ]);
    this.#status = await status;
    // A program that this one has started may outlive it and hold its streams open.
    const timer = setTimeout(() => abort.abort(), DRAIN_TIMEOUT_MS);
    await reading;
    clearTimeout(timer);
    return this.#status;
  }
}

export function signalChild(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It ended a moment ago; its status tells how.
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
