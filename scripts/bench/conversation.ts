/** A process of the bench and its parent: one line of JSON asks, one line of JSON answers. */

/** The parent's side. */
export class Conversation<Question, Answer> implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #name: string;
  readonly #asking: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #answers: ReadableStreamDefaultReader<string>;
  #received = "";

  /** `program` is a module of this project that calls `answerQuestions()`. */
  constructor(program: string, rights: readonly string[] = ["--allow-net"]) {
    this.#name = program.split("/").at(-1) ?? program;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", ...rights, program],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#asking = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** One at a time. Rejects when the process ends or says that it failed. */
  async ask(question: Question): Promise<Answer> {
    await this.#asking.write(new TextEncoder().encode(`${JSON.stringify(question)}\n`));
    for (;;) {
      const end = this.#received.indexOf("\n");
      if (end >= 0) {
        const line = this.#received.slice(0, end);
        this.#received = this.#received.slice(end + 1);
        const reply = JSON.parse(line) as Reply<Answer>;
        if ("failed" in reply) throw new Error(`${this.#name}: ${reply.failed}`);
        return reply.answer;
      }
      const { value, done } = await this.#answers.read();
      if (done) throw new Error(`${this.#name} ended before it answered`);
      this.#received += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It ended by itself.
    }
    await this.#child.status;
    await this.#answers.cancel().catch(() => {});
    await this.#asking.abort().catch(() => {});
  }
}

/** The process's side: until its parent is gone. */
export async function answerQuestions<Question, Answer>(
  answer: (question: Question) => Answer | Promise<Answer>,
): Promise<void> {
  let received = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (received + text).split("\n");
    received = lines.pop() ?? "";
    for (const line of lines) {
      const reply: Reply<Answer> = await replyTo(() => answer(JSON.parse(line) as Question));
      console.log(JSON.stringify(reply));
    }
  }
  Deno.exit(0);
}

type Reply<Answer> = { answer: Answer } | { failed: string };

async function replyTo<Answer>(work: () => Answer | Promise<Answer>): Promise<Reply<Answer>> {
  try {
    return { answer: await work() };
  } catch (error) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }
}

/** ms since the epoch with fractions: comparable between the processes of one machine. */
export function sharedNow(): number {
  return performance.timeOrigin + performance.now();
}
