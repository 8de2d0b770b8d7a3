import assert from "node:assert/strict";
import { PolicyApi } from "../../src/ilert/policy_api.ts";
import { VERSION } from "../../src/runtime/version.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { IlertEmulator, type IlertEmulatorOptions } from "../support/ilert_emulator.ts";

const NEVER = new AbortController().signal;
const API_KEY = "il1token-of-a-test";
const UPDATE = { email: "night@example.org", routingKey: "plant & co/3", level: 1 };

interface Setting extends AsyncDisposable {
  ilert: IlertEmulator;
  api: PolicyApi;
  clock: FakeClock;
  /** `METHOD path` of what ilert was asked since the last look. */
  calls(): string[];
}

async function setting(options: IlertEmulatorOptions = {}): Promise<Setting> {
  const ilert = await IlertEmulator.start({ apiKey: API_KEY, ...options });
  ilert.addUser({ id: 7, email: UPDATE.email });
  ilert.addPolicy({
    id: 12,
    routingKey: UPDATE.routingKey,
    escalationRules: [{ escalationTimeout: 5, users: [] }, { escalationTimeout: 15, users: [{ id: 1 }] }],
  });
  const clock = new FakeClock();
  const api = new PolicyApi({ apiHost: ilert.url, apiKey: API_KEY, connections: 4 }, clock);
  let seen = 0;
  return {
    ilert,
    api,
    clock,
    calls() {
      const calls = ilert.requests.slice(seen).map(({ method, path }) => `${method} ${path.split("?")[0]}`);
      seen = ilert.requests.length;
      return calls;
    },
    async [Symbol.asyncDispose]() {
      api[Symbol.dispose]();
      await ilert[Symbol.asyncDispose]();
    },
  };
}

const SEARCH = "POST /api/users/search-email";
const RESOLVE = "GET /api/escalation-policies/resolve";
const CHANGE = "PUT /api/escalation-policies/12/levels/1";

Deno.test("PolicyApi.apply() sets the user of one level and leaves its time-out as it is", async () => {
  await using s = await setting();
  assert.deepEqual(await s.api.apply(UPDATE, NEVER), { kind: "delivered", correlationId: null });
  assert.deepEqual(s.ilert.policies[0]?.escalationRules, [
    { escalationTimeout: 5, users: [] },
    { escalationTimeout: 15, users: [{ id: 7 }] },
  ]);
  const [search, resolve, change] = s.ilert.requests;
  assert.deepEqual(search?.body, { email: UPDATE.email });
  assert.equal(resolve?.path, "/api/escalation-policies/resolve?routing-key=plant+%26+co%2F3");
  assert.deepEqual(change?.body, { escalationTimeout: 15, users: [{ id: 7 }] });
  for (const request of s.ilert.requests) {
    assert.equal(request.headers["user-agent"], `ilagent/${VERSION}`);
    assert.equal(request.headers["authorization"], `Bearer ${API_KEY}`);
  }
  assert.deepEqual(s.calls(), [SEARCH, RESOLVE, CHANGE]);
});

Deno.test("PolicyApi.apply() gives a level without a time-out one minute", async () => {
  await using s = await setting();
  const outcome = await s.api.apply({ ...UPDATE, level: 4 }, NEVER);
  assert.deepEqual(s.ilert.requests.at(-1)?.body, { escalationTimeout: 1, users: [{ id: 7 }] });
  assert.equal(outcome.kind === "rejected" && outcome.status, 404);
});

Deno.test("PolicyApi.apply() knows a user for 60 s, and asks for the policy each time", async () => {
  await using s = await setting();
  await s.api.apply(UPDATE, NEVER);
  s.calls();
  await s.clock.advance(59_000);
  await s.api.apply(UPDATE, NEVER);
  assert.deepEqual(s.calls(), [RESOLVE, CHANGE]);
  await s.clock.advance(1_000);
  await s.api.apply(UPDATE, NEVER);
  assert.deepEqual(s.calls(), [SEARCH, RESOLVE, CHANGE]);
});

Deno.test("PolicyApi.apply() asks again for a user who was not found", async () => {
  await using s = await setting();
  const unknown = { ...UPDATE, email: "new@example.org" };
  const outcome = await s.api.apply(unknown, NEVER);
  assert.deepEqual([outcome.kind, outcome.kind === "rejected" && outcome.reason], [
    "rejected",
    "ilert answered 404 to the search for the user",
  ]);
  s.ilert.addUser({ id: 8, email: unknown.email });
  assert.equal((await s.api.apply(unknown, NEVER)).kind, "delivered");
  assert.deepEqual(s.calls(), [SEARCH, SEARCH, RESOLVE, CHANGE]);
});

Deno.test("PolicyApi.apply() asks anew for a known user whom ilert refuses", async () => {
  await using s = await setting();
  await s.api.apply(UPDATE, NEVER);
  s.calls();
  // In place of the one before, whose id ilert does not know any more.
  s.ilert.addUser({ id: 9, email: UPDATE.email });
  assert.equal((await s.api.apply(UPDATE, NEVER)).kind, "delivered");
  assert.deepEqual(s.calls(), [RESOLVE, CHANGE, SEARCH, RESOLVE, CHANGE]);
  assert.deepEqual(s.ilert.policies[0]?.escalationRules[1]?.users, [{ id: 9 }]);
});

Deno.test("PolicyApi.apply() says which of its calls was refused", async () => {
  await using s = await setting();
  const outcome = await s.api.apply({ ...UPDATE, routingKey: "unknown" }, NEVER);
  assert.deepEqual(outcome.kind === "rejected" && [outcome.status, outcome.reason], [
    404,
    "ilert answered 404 to the search for the escalation policy",
  ]);
  assert.match(outcome.kind === "rejected" ? outcome.responseBody : "", /Escalation policy not found/);
  const tooHigh = await s.api.apply({ ...UPDATE, level: 9 }, NEVER);
  assert.equal(
    tooHigh.kind === "rejected" && tooHigh.reason,
    "ilert answered 404 to the change of level 9 of escalation policy 12",
  );
});

Deno.test("PolicyApi.apply() classifies every status as the contract says, at each of its calls", async () => {
  const expected: [number, string][] = [
    [302, "rejected"],
    [400, "rejected"],
    [401, "rejected"],
    [403, "rejected"],
    [404, "rejected"],
    [408, "timed_out"],
    [409, "rejected"],
    [429, "throttled"],
    [500, "server_error"],
    [503, "server_error"],
  ];
  for (const call of [0, 1, 2]) {
    const ilert: { current?: IlertEmulator } = {};
    let status = 0;
    let answered = 0;
    const fail = () => ilert.current?.inject({ kind: "status", status, on: "policy", times: 1 });
    await using s = await setting({
      onAnswered() {
        if (++answered === call) fail();
      },
    });
    ilert.current = s.ilert;
    for (const [next, kind] of expected) {
      status = next;
      answered = 0;
      // The user is known no more.
      await s.clock.advance(60_000);
      if (call === 0) fail();
      const outcome = await s.api.apply(UPDATE, NEVER);
      assert.equal(outcome.kind === "retry" ? outcome.cause : outcome.kind, kind, `${next} at call ${call}`);
      assert.equal(s.calls().length, call + 1, `${next} at call ${call}`);
    }
  }
});

Deno.test("PolicyApi.apply() follows no redirect, which would take the API key along", async () => {
  await using s = await setting();
  await using elsewhere = await IlertEmulator.start();
  s.ilert.inject({ kind: "redirect", location: `${elsewhere.url}/api/users/search-email` });
  assert.equal((await s.api.apply(UPDATE, NEVER)).kind, "rejected");
  assert.equal(elsewhere.requests.length, 0);
});

Deno.test("PolicyApi.apply() passes a Retry-After on", async () => {
  await using s = await setting();
  s.ilert.inject({ kind: "status", status: 429, headers: { "retry-after": "7" } });
  const outcome = await s.api.apply(UPDATE, NEVER);
  assert.equal(outcome.kind === "retry" && outcome.retryAfterMs, 7_000);
});

Deno.test("PolicyApi.apply() takes a connection that fails, before or in an answer, for one to be tried again", async () => {
  await using s = await setting({ rawFaults: true });
  for (const kind of ["reset", "resetMidBody", "notHttp"] as const) {
    const { remove } = s.ilert.inject({ kind });
    const outcome = await s.api.apply(UPDATE, NEVER);
    assert.equal(outcome.kind === "retry" && outcome.cause, "unreachable", kind);
    remove();
  }
  await s.ilert.goDown();
  const outcome = await s.api.apply(UPDATE, NEVER);
  assert.equal(outcome.kind === "retry" && outcome.cause, "unreachable");
  assert.ok(outcome.kind === "retry" && !outcome.reason.includes(s.ilert.url), JSON.stringify(outcome));
});

Deno.test("PolicyApi.apply() goes by the status of a change, and of a refusal, whose body does not end", async () => {
  let searchStatus = 200;
  await using ilert = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const isSearch = request.url.endsWith("/search-email");
    if (request.method !== "PUT" && !(isSearch && searchStatus !== 200)) return Response.json({ id: 7 });
    const endless = new ReadableStream({ start: (body) => body.enqueue(new TextEncoder().encode("{")) });
    return new Response(endless, { status: isSearch ? searchStatus : 200 });
  });
  using api = new PolicyApi(
    { apiHost: `http://127.0.0.1:${ilert.addr.port}`, apiKey: API_KEY, connections: 4 },
    new FakeClock(),
  );
  searchStatus = 404;
  const refused = await api.apply(UPDATE, AbortSignal.timeout(5_000));
  assert.equal(refused.kind === "rejected" && refused.responseBody, "{");
  searchStatus = 200;
  assert.equal((await api.apply(UPDATE, AbortSignal.timeout(5_000))).kind, "delivered");
});

Deno.test("PolicyApi.apply() cannot go on from an answer without an id", async () => {
  for (const body of ["", "[]", "not json", '{"id":"12"}', '{"id":null}', '{"id":1.5}']) {
    await using s = await setting();
    s.ilert.inject({ kind: "status", status: 200, body });
    assert.deepEqual(await s.api.apply(UPDATE, NEVER), {
      kind: "rejected",
      status: 200,
      reason: "ilert's answer to the search for the user has no id",
      responseBody: body,
    });
  }
});

Deno.test("PolicyApi.apply() keeps ids of any size exact", async () => {
  const received: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    received.push(`${new URL(request.url).pathname} ${await request.text()}`);
    return new Response('{"id":12345678901234567890}');
  });
  const apiHost = `http://127.0.0.1:${server.addr.port}`;
  using api = new PolicyApi({ apiHost, apiKey: API_KEY, connections: 1 }, new FakeClock());
  assert.equal((await api.apply(UPDATE, NEVER)).kind, "delivered");
  assert.equal(
    received.at(-1),
    "/api/escalation-policies/12345678901234567890/levels/1 " +
      '{"escalationTimeout":1,"users":[{"id":12345678901234567890}]}',
  );
});

Deno.test("PolicyApi.apply() ends with its signal", async () => {
  await using s = await setting();
  s.ilert.inject({ kind: "hang" });
  const stop = new AbortController();
  const outcome = s.api.apply(UPDATE, stop.signal);
  await s.ilert.waitFor(({ requests }) => requests.length === 1);
  stop.abort();
  const { kind } = await outcome;
  assert.equal(kind, "retry");
});
