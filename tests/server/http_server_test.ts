import assert from "node:assert/strict";
import { HttpServer, type Readiness, type ServerConfig } from "../../src/server/http_server.ts";
import { StartupFailure } from "../../src/runtime/startup_failure.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { NO_ENRICHMENT } from "../support/no_enrichment.ts";
import { HttpSource } from "../../src/sources/http.ts";
import { QueueUnavailable } from "../../src/queue/queue.ts";
import type { AlertEvent } from "../../src/domain/event.ts";
import { freePort } from "../support/agent_process.ts";
import { memoryLog } from "../support/memory_log.ts";

interface Running extends AsyncDisposable {
  url: string;
  server: HttpServer;
  stored: AlertEvent[];
  state: { readiness: Readiness; full: boolean; hold: Promise<void> | null };
}

async function running(config: Partial<ServerConfig> = {}): Promise<Running> {
  const port = await freePort();
  const stored: AlertEvent[] = [];
  const state: Running["state"] = { readiness: null, full: false, hold: null };
  const log = memoryLog();
  const queue = {
    async enqueue(event: AlertEvent) {
      await state.hold;
      if (state.full) throw new QueueUnavailable("the queue is full", 7);
      stored.push(event);
      return { id: `id-${stored.length}`, event, apiPath: null, attempts: 0, acceptedAt: 0 };
    },
  };
  const source = new HttpSource(queue, NO_ENRICHMENT, log);
  const server = new HttpServer({ hostname: "127.0.0.1", port, intakeToken: null, ...config }, {
    event: (request) => source.accept(request),
    heartbeat: (key) => Promise.resolve(Response.json({}, { status: key === "good key" ? 202 : 500 })),
    readiness: () => state.readiness,
    metrics: () => Promise.resolve({ contentType: "text/plain; version=0.0.4", text: "up 1\n" }),
  }, log);
  server.start();
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    stored,
    state,
    async [Symbol.asyncDispose]() {
      await server.close();
      source[Symbol.dispose]();
    },
  };
}

async function ask(
  url: string,
  init?: RequestInit,
): Promise<{ status: number; text: string; headers: Headers }> {
  const response = await fetch(url, init);
  return { status: response.status, text: await response.text(), headers: response.headers };
}

function post(url: string, body: BodyInit, headers: HeadersInit = { "content-type": "application/json" }) {
  return ask(`${url}/api/events`, { method: "POST", body, headers });
}

/** fetch would resolve the dots of a path before it is sent. */
async function askAsWritten(url: string, path: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
  await connection.write(
    new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`),
  );
  return await new Response(connection.readable).text();
}

const EVENT = { apiKey: "il1api1", eventType: "ALERT", summary: "Disk full" };

Deno.test("GET / names the program and its version", async () => {
  await using agent = await running();
  const { status, text } = await ask(agent.url);
  assert.deepEqual([status, text], [200, `ilagent/${VERSION}`]);
});

Deno.test("health and readiness answer 204 by all their names, and 503 with JSON where something is wrong", async () => {
  await using agent = await running();
  for (const path of ["/health", "/healthz", "/livez", "/ready", "/readyz"]) {
    assert.equal((await ask(agent.url + path)).status, 204, path);
  }
  agent.state.readiness = { component: "daemon", error: "the disk is full" };
  for (const path of ["/ready", "/readyz"]) {
    const { status, text } = await ask(agent.url + path);
    assert.deepEqual([status, JSON.parse(text)], [503, { component: "daemon", error: "the disk is full" }]);
  }
  assert.equal((await ask(`${agent.url}/health`)).status, 204);
});

Deno.test("refuse() turns health, readiness and the intake to 503 while the server still answers", async () => {
  await using agent = await running();
  agent.server.refuse();
  for (const path of ["/health", "/ready", "/healthz", "/livez", "/readyz"]) {
    const { status, text } = await ask(agent.url + path);
    assert.deepEqual(
      [status, JSON.parse(text)],
      [503, { component: "daemon", error: "shutting down" }],
      path,
    );
  }
  const { status, headers } = await post(agent.url, JSON.stringify(EVENT));
  assert.equal(status, 503);
  assert.ok(Number(headers.get("retry-after")) > 0);
  assert.equal((await ask(agent.url)).status, 200);
});

Deno.test("drained() waits for the request in hand", async () => {
  await using agent = await running();
  const held = Promise.withResolvers<void>();
  agent.state.hold = held.promise;
  const answer = post(agent.url, JSON.stringify(EVENT));
  let isDrained = false;
  // The request is in hand once a second one has been answered after it.
  await ask(agent.url);
  agent.server.refuse();
  const drained = agent.server.drained().then(() => isDrained = true);
  await ask(agent.url);
  assert.equal(isDrained, false);
  held.resolve();
  assert.equal((await answer).status, 200);
  await drained;
});

Deno.test("POST /api/events answers 200 with the stored event under integrationKey", async () => {
  await using agent = await running();
  const { status, text } = await post(
    agent.url,
    JSON.stringify({ ...EVENT, customDetails: { n: 1 }, labels: { a: "b" } }),
  );
  assert.equal(status, 200);
  const answer = JSON.parse(text);
  assert.equal(answer.integrationKey, "il1api1");
  assert.equal(answer.apiKey, undefined);
  assert.deepEqual(answer.customDetails, { n: 1 });
  assert.equal(answer.alertKey, null);
  assert.equal(agent.stored.length, 1);
});

Deno.test("POST /api/events takes JSON without a Content-Type and with a charset, and refuses others with 415", async () => {
  await using agent = await running();
  const bytes = new TextEncoder().encode(JSON.stringify(EVENT));
  for (const type of ["application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"]) {
    assert.equal((await post(agent.url, bytes, { "content-type": type })).status, 200, type);
  }
  assert.equal((await post(agent.url, bytes, {})).status, 200);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"]) {
    assert.equal((await post(agent.url, bytes, { "content-type": type })).status, 415, type);
  }
  assert.equal(agent.stored.length, 4);
});

Deno.test("POST /api/events answers 400 with a JSON error for what is no event, and stores nothing", async () => {
  await using agent = await running();
  for (
    const body of [
      "",
      "{",
      "[]",
      "null",
      "5",
      '"x"',
      "{}",
      JSON.stringify({ ...EVENT, eventType: "BOOM" }),
      "\u0000",
    ]
  ) {
    const { status, text } = await post(agent.url, body);
    assert.equal(status, 400, body);
    assert.equal(typeof JSON.parse(text).error, "string", body);
  }
  const { status } = await post(agent.url, new Uint8Array([0x22, 0xff, 0x22]));
  assert.equal(status, 400);
  assert.equal(agent.stored.length, 0);
});

Deno.test("POST /api/events answers 413 for a body over the limit", async () => {
  await using agent = await running();
  const body = JSON.stringify({ ...EVENT, details: "x".repeat(16_000) });
  assert.equal((await post(agent.url, body)).status, 413);
  assert.equal(agent.stored.length, 0);
});

Deno.test("POST /api/events answers 503 with Retry-After while the queue takes nothing", async () => {
  await using agent = await running();
  agent.state.full = true;
  const { status, headers, text } = await post(agent.url, JSON.stringify(EVENT));
  assert.equal(status, 503);
  assert.equal(headers.get("retry-after"), "7");
  assert.match(JSON.parse(text).error, /not stored: the queue is full/);
});

Deno.test("the /api paths need the token where one is set, the others never", async () => {
  await using agent = await running({ intakeToken: "s3cret" });
  const json = { "content-type": "application/json" };
  const body = JSON.stringify(EVENT);
  for (
    const authorization of [undefined, "Bearer wrong", "Basic s3cret", "s3cret", "Bearer", "Bearer s3cre"]
  ) {
    const headers = authorization === undefined ? json : { ...json, authorization };
    const { status, headers: answered } = await post(agent.url, body, headers);
    assert.equal(status, 401, `${authorization}`);
    assert.equal(answered.get("www-authenticate"), "Bearer");
  }
  assert.equal((await ask(`${agent.url}/api/heartbeats/k`)).status, 401);
  assert.equal(agent.stored.length, 0);
  assert.equal((await post(agent.url, body, { ...json, authorization: "Bearer s3cret" })).status, 200);
  assert.equal((await post(agent.url, body, { ...json, authorization: "bearer s3cret" })).status, 200);
  assert.equal((await ask(`${agent.url}/health`)).status, 204);
});

Deno.test("unknown paths answer 404 and wrong methods 405 with the right one", async () => {
  await using agent = await running();
  for (
    const path of [
      "/x",
      "/api",
      "/api/",
      "/api/x",
      "/api/heartbeats/",
      "/api/heartbeats/a/b",
      "/api/heartbeats/%E0",
    ]
  ) {
    assert.equal((await ask(agent.url + path)).status, 404, path);
  }
  const { status, headers } = await ask(`${agent.url}/api/events`);
  assert.deepEqual([status, headers.get("allow")], [405, "POST"]);
  assert.equal((await ask(`${agent.url}/health`, { method: "POST" })).status, 405);
  assert.equal((await ask(`${agent.url}/api/heartbeats/k`, { method: "DELETE" })).status, 405);
});

Deno.test("POST /api/events tells JSON that is nested too deeply from what is no JSON", async () => {
  await using agent = await running();
  const nested = `{"customDetails":${"[".repeat(7_000)}1e400${"]".repeat(7_000)}}`;
  const { status, text } = await post(agent.url, nested);
  assert.deepEqual([status, JSON.parse(text)], [400, { error: "The body is nested too deeply." }]);
  const deep = `{"customDetails":${"[".repeat(3_000)}1${"]".repeat(3_000)}}`;
  assert.match((await post(agent.url, deep)).text, /nested more than 500 levels deep/);
});

Deno.test("GET /api/heartbeats/{key} refuses a key that would lead to another path of ilert", async () => {
  await using agent = await running();
  for (const key of ["%2e%2e", "%2E", ".%2e", "%00", "%20"]) {
    assert.match(
      await askAsWritten(agent.url, `/api/heartbeats/${key}`),
      /^HTTP\/1\.1 400 .*integration key/s,
    );
  }
});

Deno.test("GET /api/heartbeats/{key} passes the decoded key on", async () => {
  await using agent = await running();
  assert.equal((await ask(`${agent.url}/api/heartbeats/good%20key`)).status, 202);
  assert.equal((await ask(`${agent.url}/api/heartbeats/bad`)).status, 500);
});

Deno.test("start() names an address that is taken", async () => {
  await using agent = await running();
  const { port } = new URL(agent.url);
  const second = new HttpServer(
    { hostname: "127.0.0.1", port: Number(port), intakeToken: null },
    {
      event: () => assert.fail(),
      heartbeat: () => assert.fail(),
      readiness: () => null,
      metrics: () => assert.fail(),
    },
    memoryLog(),
  );
  assert.throws(() => second.start(), (error) => {
    assert.ok(error instanceof StartupFailure);
    assert.equal(error.exitCode, 1);
    assert.match(
      error.message,
      /cannot listen on 127\.0\.0\.1:\d+: the address is already in use; choose another/,
    );
    return true;
  });
});

Deno.test("GET /metrics answers with the figures, without the intake's token", async () => {
  await using agent = await running({ intakeToken: "s3cret" });
  const { status, text, headers } = await ask(`${agent.url}/metrics`);
  assert.deepEqual([status, text, headers.get("content-type")], [200, "up 1\n", "text/plain; version=0.0.4"]);
});
