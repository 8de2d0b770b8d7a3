import assert from "node:assert/strict";
import { NetworkProxy } from "./network_proxy.ts";

Deno.test("NetworkProxy passes both directions on, and the end of each", async () => {
  using server = new EchoServer();
  await using proxy = await NetworkProxy.start(server.port);
  using client = await connect(proxy);
  assert.equal(await exchange(client, "through"), "through");
  await client.closeWrite();
  assert.equal(await client.read(new Uint8Array(1)), null);
});

Deno.test("NetworkProxy.cut() ends connections and refuses new ones until heal()", async () => {
  using server = new EchoServer();
  await using proxy = await NetworkProxy.start(server.port);
  using client = await connect(proxy);
  assert.equal(await exchange(client, "before"), "before");

  proxy.cut();
  assert.equal(await client.read(new Uint8Array(1)).catch(() => null), null);
  await assert.rejects(connect(proxy), Deno.errors.ConnectionRefused);

  proxy.heal();
  using again = await connect(proxy);
  assert.equal(await exchange(again, "after"), "after");
});

Deno.test("NetworkProxy.stall() holds everything back, and heal() delivers it", async () => {
  using server = new EchoServer();
  await using proxy = await NetworkProxy.start(server.port);
  using client = await connect(proxy);
  assert.equal(await exchange(client, "before"), "before");

  proxy.stall();
  using newcomer = await connect(proxy);
  const answers = Promise.all([exchange(client, "held"), exchange(newcomer, "back")]);
  // Time enough for a healthy proxy, measured in what somebody else gets done meanwhile.
  using direct = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  for (let round = 0; round < 50; round++) await exchange(direct, "meanwhile");
  assert.deepEqual(new Set(server.received), new Set(["before", "meanwhile"]));

  proxy.heal();
  assert.deepEqual(await answers, ["held", "back"]);
});

Deno.test("NetworkProxy.strand() swallows what goes over the connections so far, and passes new ones on", async () => {
  using server = new EchoServer();
  await using proxy = await NetworkProxy.start(server.port);
  using client = await connect(proxy);
  assert.equal(await exchange(client, "before"), "before");

  proxy.strand();
  await client.write(new TextEncoder().encode("lost"));
  using newcomer = await connect(proxy);
  assert.equal(await exchange(newcomer, "after"), "after");
  assert.deepEqual(server.received, ["before", "after"]);
});

Deno.test("NetworkProxy.cut() ends what a stall holds back", async () => {
  using server = new EchoServer();
  await using proxy = await NetworkProxy.start(server.port);
  proxy.stall();
  using client = await connect(proxy);
  await client.write(new TextEncoder().encode("lost"));
  proxy.cut();
  assert.equal(await client.read(new Uint8Array(1)).catch(() => null), null);
  assert.deepEqual(server.received, []);
});

class EchoServer implements Disposable {
  readonly received: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor() {
    void this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) void this.#echo(connection);
  }

  async #echo(connection: Deno.TcpConn): Promise<void> {
    using _closing = connection;
    const buffer = new Uint8Array(1_024);
    for (;;) {
      const length = await connection.read(buffer).catch(() => null);
      if (length === null) return;
      this.received.push(new TextDecoder().decode(buffer.subarray(0, length)));
      await connection.write(buffer.subarray(0, length));
    }
  }
}

async function connect({ port }: NetworkProxy): Promise<Deno.TcpConn> {
  return await Deno.connect({ hostname: "127.0.0.1", port });
}

async function exchange(connection: Deno.TcpConn, text: string): Promise<string> {
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(1_024);
  const length = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
}
