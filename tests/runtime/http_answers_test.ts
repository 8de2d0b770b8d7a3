import assert from "node:assert/strict";
import { ANSWER_CHARACTERS_MAX, discard, excerptOf, networkFailure } from "../../src/runtime/http_answers.ts";

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

Deno.test("networkFailure() keeps what went wrong and no URL, in whatever form fetch says it", () => {
  const url = "http://127.0.0.1:25616/api/pings/se(cr)et:%20key-4711";
  const closed = "connection closed before message completed";
  for (
    const [message, kept] of [
      [
        `error sending request for url (${url}): client error (Connect): tcp connect error: Connection refused (os error 111)`,
        "tcp connect error: Connection refused",
      ],
      [
        `error sending request from 127.0.0.1:42758 for ${url} (127.0.0.1:25616): client error (SendRequest): ${closed}`,
        closed,
      ],
      [
        `error sending request from [::1]:42758 for ${url} ([::1]:25616): client error (SendRequest): ${closed}`,
        closed,
      ],
      [
        `error sending request from 127.0.0.1:1 for ${url} via proxy: client error (SendRequest): ${closed}`,
        closed,
      ],
      [`error sending request for url (${url})`, "error sending request for url (…"],
      [`error following redirect to ${url}`, "error following redirect to …"],
      [`Invalid URL: '${url}'`, "Invalid URL: '…"],
      ["error reading a body from connection", "error reading a body from connection"],
      ["", "the connection failed"],
    ] as const
  ) {
    assert.equal(networkFailure(new TypeError("fetch failed", { cause: new Error(message) })), kept);
    assert.equal(networkFailure(new TypeError(message)), kept);
  }
});

Deno.test("networkFailure() shows no key when fetch fails, before a connection is there and after", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr;
  const reasonOf = async (init: RequestInit & { client?: Deno.HttpClient } = {}) => {
    const url = `http://127.0.0.1:${port}/api/pings/secret(1)key`;
    return await fetch(url, init).then(() => "answered", networkFailure);
  };
  const hangUp = (async () => (await silent.accept()).close())();
  using client = Deno.createHttpClient({});
  // Which of the two it is depends on how far the request had come.
  assert.match(
    await reasonOf({ client }),
    /^connection (closed|reset|error)/i,
  );
  await hangUp;
  silent.close();
  assert.equal(await reasonOf(), "tcp connect error: Connection refused");
});
