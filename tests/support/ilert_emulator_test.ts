import assert from "node:assert/strict";

import { ALERT, KEY, numbered, post, send, statusOf } from "./ilert_emulator_client.ts";
import { IlertEmulator } from "./ilert_emulator.ts";

Deno.test("IlertEmulator answers an event with 202, a correlation id and JSON", async () => {
  await using emulator = await IlertEmulator.start();
  const response = await post(emulator, ALERT);
  assert.equal(response.status, 202);
  assert.deepEqual(await response.json(), { alertKey: "db-1" });
  const request = emulator.requests[0];
  assert.ok(request);
  assert.equal(response.headers.get("correlation-id"), request.correlationId);
});

Deno.test("IlertEmulator records requests in arrival order with headers, body and status", async () => {
  await using emulator = await IlertEmulator.start();
  const headers = {
    "user-agent": "ilagent/1",
    authorization: "secret",
    "content-type": "application/json",
    "x-a": "b",
  };
  await statusOf(send(emulator, "POST", "/api/events", JSON.stringify(ALERT), headers));
  await statusOf(send(emulator, "GET", "/api/heartbeats/il1hbt1?x=1"));
  await statusOf(send(emulator, "POST", "/api/events", "{oops"));

  const [first, second, third] = emulator.requests;
  assert.deepEqual([first?.seq, second?.seq, third?.seq], [1, 2, 3]);
  assert.deepEqual(
    { ...first?.headers },
    { "user-agent": "ilagent/1", authorization: "secret", "content-type": "application/json" },
  );
  assert.deepEqual(first?.body, ALERT);
  assert.equal(first?.status, 202);
  assert.deepEqual([second?.method, second?.path, second?.body], [
    "GET",
    "/api/heartbeats/il1hbt1?x=1",
    undefined,
  ]);
  assert.deepEqual([third?.body, third?.status], ["{oops", 400]);
  assert.ok((first?.at ?? 0) <= (second?.at ?? 0) && (second?.at ?? 0) <= performance.now());
});

Deno.test("IlertEmulator refuses events that ilert would refuse", async (t) => {
  await using emulator = await IlertEmulator.start();
  const refused: [message: string, body: unknown][] = [
    ["The body is not a JSON object", []],
    ["integrationKey is required", { ...ALERT, integrationKey: null }],
    ["eventType is required", { ...ALERT, eventType: undefined }],
    ["eventType must be one of ALERT, ACCEPT, RESOLVE, COMMENT", { ...ALERT, eventType: "alert" }],
    ["summary is required for an ALERT", { ...ALERT, summary: null }],
    ["summary must be a string", { ...ALERT, summary: 1 }],
    ["alertKey must be a string", { ...ALERT, alertKey: 7 }],
    ["priority must be LOW or HIGH", { ...ALERT, priority: "MEDIUM" }],
    ["severity must be an integer from 1 to 5", { ...ALERT, severity: 6 }],
    ["severity must be an integer from 1 to 5", { ...ALERT, severity: "3" }],
    ["customDetails must be an object", { ...ALERT, customDetails: "x" }],
    ["labels must map strings to strings", { ...ALERT, labels: { a: 1 } }],
    ["images must be a list of {src, href?, alt?}", { ...ALERT, images: [{ href: "x" }] }],
    ["links must be a list of {href, text?}", { ...ALERT, links: {} }],
    ["services must be a list of {id} or {alias}", { ...ALERT, services: [{}] }],
  ];
  for (const [message, body] of refused) {
    await t.step(`${message}: ${JSON.stringify(body)}`, async () => {
      const response = await post(emulator, body);
      assert.equal(response.status, 400);
      assert.deepEqual(await response.json(), { status: 400, code: "BAD_REQUEST", message });
    });
  }
  assert.equal(emulator.accepted.length, 0);
});

Deno.test("IlertEmulator accepts every field of an event, and null for an absent one", async () => {
  await using emulator = await IlertEmulator.start();
  const full = {
    ...ALERT,
    details: "d",
    priority: "LOW",
    severity: 5,
    images: [{ src: "https://a.example/i.png", href: null, alt: "i" }],
    links: [{ href: "https://a.example", text: "t" }],
    customDetails: { deep: { n: [1] } },
    routingKey: "r",
    labels: { a: "b" },
    services: [{ id: 1 }, { alias: "db" }],
  };
  const empty = Object.fromEntries(Object.keys(full).map((field) => [field, null]));
  assert.equal(await statusOf(post(emulator, full)), 202);
  assert.equal(await statusOf(post(emulator, { ...empty, integrationKey: KEY, eventType: "RESOLVE" })), 202);
});

Deno.test("IlertEmulator takes consumer events by the key of the path and refuses another in the body", async () => {
  await using emulator = await IlertEmulator.start();
  const { integrationKey: _, ...keyless } = ALERT;
  assert.equal(
    await statusOf(send(emulator, "POST", "/api/v1/events/mqtt/k1", JSON.stringify(keyless))),
    202,
  );
  const kafka = JSON.stringify({ ...keyless, integrationKey: "k2" });
  assert.equal(await statusOf(send(emulator, "POST", "/api/v1/events/kafka/k2", kafka)), 202);
  assert.equal(await statusOf(send(emulator, "POST", "/api/v1/events/kafka/other", kafka)), 400);
  assert.deepEqual(emulator.accepted.map(({ event }) => event.integrationKey), ["k1", "k2"]);
  assert.equal(emulator.acceptedOf("k2").length, 1);
});

Deno.test("IlertEmulator answers 404 to keys and paths it does not know", async () => {
  await using emulator = await IlertEmulator.start({ integrationKeys: [KEY], heartbeatKeys: ["il1hbt1"] });
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
  assert.equal(await statusOf(post(emulator, { ...ALERT, integrationKey: "unknown" })), 404);
  assert.equal(await statusOf(send(emulator, "GET", "/api/heartbeats/il1hbt1")), 202);
  assert.equal(await statusOf(send(emulator, "HEAD", "/api/pings/unknown")), 404);
  assert.equal(await statusOf(send(emulator, "GET", "/api/events")), 404);
});

Deno.test("IlertEmulator opens, appends to, accepts, resolves and reopens the alert of a key", async () => {
  await using emulator = await IlertEmulator.start();
  const sent: Record<string, unknown>[] = [
    { eventType: "RESOLVE" }, // Nothing to resolve yet.
    { eventType: "ALERT" },
    { eventType: "ALERT", alertKey: " DB-1" }, // ilert trims alert keys and ignores their case.
    { eventType: "ALERT", integrationKey: "other" },
    { eventType: "ACCEPT" },
    { eventType: "RESOLVE" },
    { eventType: "ALERT" },
    { eventType: "ALERT", alertKey: null },
  ];
  for (const change of sent) assert.equal(await statusOf(post(emulator, { ...ALERT, ...change })), 202);
  assert.deepEqual(
    emulator.alerts.map(({ integrationKey, alertKey, status, entries }) =>
      [integrationKey, alertKey, status, entries.map(({ eventType }) => eventType).join(" ")].join(" | ")
    ),
    [
      `${KEY} | db-1 | RESOLVED | ALERT ALERT ACCEPT RESOLVE`,
      "other | db-1 | PENDING | ALERT",
      `${KEY} | db-1 | PENDING | ALERT`,
      `${KEY} |  | PENDING | ALERT`,
    ],
  );
});

Deno.test("IlertEmulator counts duplicates and overtaking, and takes a repeat for neither overtaking", async () => {
  await using emulator = await IlertEmulator.start();
  for (const n of [1, 3, 2, 3, 4, 1]) await statusOf(post(emulator, numbered(n)));
  await statusOf(post(emulator, { ...numbered(0), alertKey: "another lane" }));
  await statusOf(post(emulator, { ...numbered(-1), alertKey: null }));
  assert.equal(emulator.duplicates, 2);
  assert.deepEqual(emulator.orderViolations, [{
    integrationKey: KEY,
    alertKey: "db-1",
    sequence: 2,
    after: 3,
  }]);
});

Deno.test("IlertEmulator tells events apart by the caller's identify and sequenceOf", async () => {
  await using emulator = await IlertEmulator.start({
    identify: ({ summary }) => summary ?? undefined,
    sequenceOf: ({ summary }) => Number(summary),
  });
  for (const summary of ["1", "1", "3", "2"]) await statusOf(post(emulator, { ...ALERT, summary }));
  assert.equal(emulator.duplicates, 1);
  assert.equal(emulator.counts.orderViolations, 1);
});

Deno.test("IlertEmulator with record: counts keeps counters and no request", async () => {
  await using emulator = await IlertEmulator.start({ record: "counts" });
  for (const n of [1, 2, 2, 5, 4]) await statusOf(post(emulator, numbered(n)));
  const { requests, accepted, duplicates, orderViolations, answered } = emulator.counts;
  assert.deepEqual({ requests, accepted, duplicates, orderViolations, answered }, {
    requests: 5,
    accepted: 5,
    duplicates: 1,
    orderViolations: 1,
    answered: { 202: 5 },
  });
  assert.equal(emulator.requests.length + emulator.accepted.length + emulator.alerts.length, 0);
});

Deno.test("IlertEmulator finds users, resolves policies and sets the users of a level", async () => {
  await using emulator = await IlertEmulator.start({ apiKey: "secret" });
  emulator.addUser({ id: 7, email: "on-call@a.example" });
  emulator.addPolicy({
    id: 3,
    routingKey: "eu db",
    escalationRules: [{ escalationTimeout: 15, users: [{ id: 1 }] }],
  });
  const headers = { authorization: "Bearer secret" };
  const call = (method: string, path: string, body?: unknown) =>
    send(emulator, method, path, body === undefined ? null : JSON.stringify(body), headers);

  const found = await call("POST", "/api/users/search-email", { email: "On-Call@a.example" });
  assert.equal((await found.json()).id, 7);
  const resolved = await call("GET", "/api/escalation-policies/resolve?routing-key=eu%20db");
  assert.equal((await resolved.json()).escalationRules[0].escalationTimeout, 15);
  const level = { escalationTimeout: 15, users: [{ id: 7 }] };
  assert.equal(await statusOf(call("PUT", "/api/escalation-policies/3/levels/0", level)), 200);
  assert.deepEqual(emulator.policies[0]?.escalationRules, [level]);

  assert.equal(await statusOf(call("POST", "/api/users/search-email", { email: "nobody@a.example" })), 404);
  assert.equal(await statusOf(call("GET", "/api/escalation-policies/resolve?routing-key=no")), 404);
  assert.equal(await statusOf(call("PUT", "/api/escalation-policies/3/levels/1", level)), 404);
  assert.equal(await statusOf(call("PUT", "/api/escalation-policies/3/levels/0", { users: [] })), 400);
  assert.equal(await statusOf(send(emulator, "GET", "/api/escalation-policies/resolve?routing-key=no")), 401);
});

Deno.test("IlertEmulator.waitFor() rejects at the timeout with the counts so far", async () => {
  await using emulator = await IlertEmulator.start();
  await statusOf(post(emulator, ALERT));
  await assert.rejects(
    emulator.waitFor(({ acceptedCount }) => acceptedCount === 2, { timeoutMs: 20 }),
    /did not see what the test waits for: .*"accepted":1.*waited 20 ms/,
  );
});

Deno.test("IlertEmulator.waitFor() rejects when aborted, when closed, and with what the predicate throws", async () => {
  const emulator = await IlertEmulator.start();
  const abort = new AbortController();
  const aborted = assert.rejects(emulator.waitFor(() => false, { signal: abort.signal }), {
    message: "enough",
  });
  abort.abort(new Error("enough"));
  await aborted;
  const thrown = emulator.waitFor(() => {
    throw new Error("odd");
  });
  await assert.rejects(thrown, { message: "odd" });
  const closed = assert.rejects(emulator.waitFor(() => false), /closed/);
  await emulator[Symbol.asyncDispose]();
  await closed;
});

Deno.test("IlertEmulator.start() says when the port is taken", async () => {
  await using first = await IlertEmulator.start();
  const port = Number(new URL(first.url).port);
  for (const rawFaults of [false, true]) {
    await assert.rejects(IlertEmulator.start({ port, rawFaults }), Deno.errors.AddrInUse);
  }
});
