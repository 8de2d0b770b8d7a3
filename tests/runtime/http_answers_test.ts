import assert from "node:assert/strict";
import { ANSWER_CHARACTERS_MAX, discard, excerptOf } from "../../src/runtime/http_answers.ts";

/** Answers each connection in turn with the bytes given for it, and leaves it open. */
class RawServer implements Disposable {
  readonly connections: Deno.TcpConn[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor(answer: string) {
    void this.#serve(answer);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}/`;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.connections) connection.close();
  }

  async #serve(answer: string): Promise<void> {
    for await (const connection of this.#listener) {
      this.connections.push(connection);
      void this.#answer(connection, answer);
    }
  }

  async #answer(connection: Deno.TcpConn, answer: string): Promise<void> {
    const buffer = new Uint8Array(4_096);
    while (await connection.read(buffer).catch(() => null) !== null) {
      await connection.write(new TextEncoder().encode(answer));
    }
  }
}

function chunked(body: string): string {
  return `HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n${body}`;
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const startedAt = performance.now();
  const result = await work();
  return { result, ms: performance.now() - startedAt };
}

Deno.test("discard() waits only so long for the rest of a body that does not end", async () => {
  using server = new RawServer(chunked("2\r\n{}\r\n"));
  using client = Deno.createHttpClient({});
  const response = await fetch(server.url, { client });
  const { ms } = await timed(() => discard(response));
  assert.ok(ms < 1_500, `${ms} ms`);
});

Deno.test("excerptOf() answers with what has come of a body that does not end, and lets go of its connection", async () => {
  for (const answer of [chunked("5\r\nwrong\r\n"), "HTTP/1.1 400 No\r\ncontent-length: 9\r\n\r\nwrong"]) {
    using server = new RawServer(answer);
    using client = Deno.createHttpClient({});
    const response = await fetch(server.url, { client });
    const { result, ms } = await timed(() => excerptOf(response));
    assert.equal(result, "wrong");
    assert.ok(ms < 2_500, `${ms} ms`);
    await fetch(server.url, { client }).then(discard);
    assert.equal(server.connections.length, 2);
  }
});

Deno.test("excerptOf() keeps the start of a long body, and ends with one that breaks off", async () => {
  const response = new Response("x".repeat(10_000));
  assert.equal(await excerptOf(response), "x".repeat(ANSWER_CHARACTERS_MAX));
  assert.equal(await excerptOf(new Response(null)), "");
  const broken = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("half"));
      controller.error(new Error("reset"));
    },
  });
  // An error drops what has not been read yet.
  assert.equal(await excerptOf(new Response(broken)), "");
});

Deno.test("discard() and excerptOf() leave the connection to the next request where the body ends", async () => {
  const answers = [chunked("2\r\n{}\r\n0\r\n\r\n"), "HTTP/1.1 202 OK\r\ncontent-length: 2\r\n\r\n{}"];
  for (const read of [discard, excerptOf]) {
    for (const answer of answers) {
      using server = new RawServer(answer);
      using client = Deno.createHttpClient({});
      for (let n = 0; n < 3; n++) await read(await fetch(server.url, { client }));
      assert.equal(server.connections.length, 1, `${read.name} ${answer}`);
    }
  }
});
