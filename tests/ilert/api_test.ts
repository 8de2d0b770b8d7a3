import assert from "node:assert/strict";
import { IlertApi } from "../../src/ilert/api.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { anEvent } from "../support/events.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";

const NEVER = new AbortController().signal;
const NOW = Date.parse("2026-05-04T10:00:00Z");

function apiOf(url: string): IlertApi {
  return new IlertApi({ apiHost: url, heartbeatHost: url, connections: 4 }, () => NOW);
}

Deno.test("IlertApi.deliver() posts the event as ilert wants it and reports the correlation id", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  const event = anEvent({ alertKey: "a", labels: { x: "y" }, services: [{ alias: "db" }], severity: 2 });
  const outcome = await api.deliver(event, null, NEVER);
  const [request] = ilert.requests;
  assert.equal(outcome.kind === "delivered" && outcome.correlationId, request?.correlationId);
  assert.equal(request?.path, "/api/events");
  assert.equal(request?.headers["user-agent"], `ilagent/${VERSION}`);
  assert.deepEqual(request?.body, {
    integrationKey: "il1api-test-key",
    eventType: "ALERT",
    summary: "Disk full",
    alertKey: "a",
    severity: 2,
    labels: { x: "y" },
    services: [{ alias: "db" }],
  });
});

Deno.test("IlertApi.deliver() posts a consumer's event to the consumer's path", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  await api.deliver(anEvent(), "/v1/events/mqtt/il1api-test-key", NEVER);
  assert.equal(ilert.requests[0]?.path, "/api/v1/events/mqtt/il1api-test-key");
});

Deno.test("IlertApi.deliver() classifies every status as the contract says", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  const expected: [number, string][] = [
    [200, "delivered"],
    [202, "delivered"],
    [204, "delivered"],
    [301, "rejected"],
    [302, "rejected"],
    [307, "rejected"],
    [400, "rejected"],
    [401, "rejected"],
    [404, "rejected"],
    [408, "timed_out"],
    [409, "rejected"],
    [429, "throttled"],
    [500, "server_error"],
    [502, "server_error"],
    [503, "server_error"],
    [599, "server_error"],
  ];
  for (const [status, kind] of expected) {
    const { remove } = ilert.inject({ kind: "status", status });
    const outcome = await api.deliver(anEvent(), null, NEVER);
    assert.equal(outcome.kind === "retry" ? outcome.cause : outcome.kind, kind, String(status));
    remove();
  }
});

Deno.test("IlertApi.deliver() does not follow a redirect", async () => {
  await using ilert = await IlertEmulator.start();
  await using elsewhere = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  ilert.inject({ kind: "redirect", location: `${elsewhere.url}/api/events` });
  assert.equal((await api.deliver(anEvent(), null, NEVER)).kind, "rejected");
  assert.equal(elsewhere.requests.length, 0);
});

Deno.test("IlertApi.deliver() keeps the answer of a rejection, up to a bound", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  ilert.inject({ kind: "status", status: 400, body: "x".repeat(100_000) });
  const outcome = await api.deliver(anEvent(), null, NEVER);
  assert.equal(outcome.kind === "rejected" && outcome.responseBody, "x".repeat(4_096));
});

Deno.test("IlertApi.deliver() reads Retry-After as seconds", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  ilert.inject({ kind: "status", status: 429, headers: { "retry-after": "20" } });
  const outcome = await api.deliver(anEvent(), null, NEVER);
  assert.equal(outcome.kind === "retry" && outcome.retryAfterMs, 20_000);
});

Deno.test("IlertApi.deliver() lets a Retry-After count with a 429 only: an outage may be over long before", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  for (const status of [408, 500, 503]) {
    const { remove } = ilert.inject({ kind: "status", status, headers: { "retry-after": "600" } });
    const outcome = await api.deliver(anEvent(), null, NEVER);
    assert.equal(outcome.kind === "retry" && outcome.retryAfterMs, null, String(status));
    remove();
  }
});

Deno.test("IlertApi.deliver() takes refused, reset and garbled connections as unreachable and shows no key", async () => {
  await using ilert = await IlertEmulator.start({ rawFaults: true });
  using api = apiOf(ilert.url);
  for (const kind of ["reset", "notHttp"] as const) {
    const { remove } = ilert.inject({ kind, times: 1 });
    const outcome = await api.deliver(anEvent(), "/v1/events/mqtt/il1api-test-key", NEVER);
    assert.equal(outcome.kind === "retry" && outcome.cause, "unreachable", kind);
    assert.ok(outcome.kind === "retry" && !outcome.reason.includes("test-key"), JSON.stringify(outcome));
    remove();
  }
  await ilert.goDown();
  const outcome = await api.deliver(anEvent(), null, NEVER);
  assert.match(outcome.kind === "retry" ? outcome.reason : "", /Connection refused$/);
});

Deno.test("IlertApi.deliver() ends at once when it is told to", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  ilert.inject({ kind: "hang" });
  const stop = new AbortController();
  const outcome = api.deliver(anEvent(), null, stop.signal);
  await ilert.waitFor((emulator) => emulator.counts.inFlight === 1);
  stop.abort();
  assert.equal((await outcome).kind, "retry");
});

Deno.test("IlertApi.ping() uses the API for keys of the old form and the beat host for the others", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  assert.equal((await api.ping("il1hbt123", NEVER)).ok, true);
  assert.equal((await api.ping("il1abc/..", NEVER)).ok, true);
  assert.deepEqual(ilert.requests.map(({ method, path }) => `${method} ${path}`), [
    "GET /api/heartbeats/il1hbt123",
    "HEAD /api/pings/il1abc%2F..",
  ]);
});

Deno.test("IlertApi.ping() asks nothing with a key that would lead to another path", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  for (const key of [".", "..", "\ud800"]) {
    const reason = "the integration key cannot be part of a URL";
    assert.deepEqual(await api.ping(key, NEVER), { ok: false, reason, isFinal: true });
  }
  assert.equal(ilert.requests.length, 0);
});

Deno.test("IlertApi.ping() takes only 202 for success", async () => {
  await using ilert = await IlertEmulator.start();
  using api = apiOf(ilert.url);
  for (const [status, isFinal] of [[200, true], [404, true], [429, false], [500, false]] as const) {
    const { remove } = ilert.inject({ kind: "status", status });
    assert.deepEqual(await api.ping("il1hbt1", NEVER), {
      ok: false,
      reason: `ilert answered ${status}`,
      isFinal,
    });
    remove();
  }
});
