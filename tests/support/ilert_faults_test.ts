import assert from "node:assert/strict";

import { ALERT, numbered, post, send, statusOf } from "./ilert_emulator_client.ts";
import { IlertEmulator } from "./ilert_emulator.ts";

for (const rawFaults of [false, true]) {
  const listener = rawFaults ? "node:http" : "Deno.serve";

  Deno.test(`IlertEmulator on ${listener} answers an injected status N times, then recovers`, async () => {
    await using emulator = await IlertEmulator.start({ rawFaults });
    const fault = emulator.inject({
      kind: "status",
      status: 503,
      headers: { "Retry-After": "7" },
      body: "busy",
      times: 2,
    });
    const first = await post(emulator, ALERT);
    assert.deepEqual([first.status, first.headers.get("retry-after"), await first.text()], [
      503,
      "7",
      "busy",
    ]);
    assert.equal(await statusOf(post(emulator, ALERT)), 503);
    assert.equal(await statusOf(post(emulator, ALERT)), 202);
    assert.equal(fault.applied, 2);
    assert.equal(emulator.accepted.length, 1);
  });

  Deno.test(`IlertEmulator on ${listener} answers HEAD pings without a body`, async () => {
    await using emulator = await IlertEmulator.start({ rawFaults });
    assert.equal(await statusOf(send(emulator, "HEAD", "/api/pings/k")), 202);
    emulator.inject({ kind: "status", status: 500 });
    assert.equal(await statusOf(send(emulator, "HEAD", "/api/pings/k")), 500);
  });

  Deno.test(`IlertEmulator on ${listener} goes down, refuses connections, and comes back on its port`, async () => {
    await using emulator = await IlertEmulator.start({ rawFaults });
    await statusOf(post(emulator, numbered(1)));
    emulator.inject({ kind: "hang", times: 1 });
    const cut = assert.rejects(post(emulator, numbered(2)), TypeError);
    await emulator.waitFor(({ counts }) => counts.inFlight === 1);

    await emulator.goDown();
    await cut;
    await assert.rejects(post(emulator, numbered(3)), (error) => causeOf(error, /refused/));
    await emulator.comeBack();
    assert.equal(await statusOf(post(emulator, numbered(4))), 202);
    assert.deepEqual(emulator.accepted.map(({ event }) => event.customDetails?.["n"]), [1, 4]);
    assert.deepEqual(emulator.requests.map(({ status }) => status), [202, "gone", 202]);
  });

  Deno.test(`IlertEmulator on ${listener} does not take a hanging event whose client gave up`, async () => {
    await using emulator = await IlertEmulator.start({ rawFaults });
    emulator.inject({ kind: "hang", times: 1 });
    const abort = new AbortController();
    const init = { method: "POST", body: JSON.stringify(ALERT), signal: abort.signal };
    const givenUp = assert.rejects(fetch(`${emulator.url}/api/events`, init), { name: "AbortError" });
    await emulator.waitFor(({ counts }) => counts.inFlight === 1);
    abort.abort();
    await givenUp;
    await emulator.waitFor(({ requests }) => requests[0]?.status === "gone");
    emulator.releaseHanging();
    assert.equal(emulator.accepted.length, 0);
  });

  Deno.test(`IlertEmulator on ${listener} closes while requests hang`, async () => {
    const emulator = await IlertEmulator.start({ rawFaults });
    emulator.inject({ kind: "hang" });
    const cut = assert.rejects(post(emulator, ALERT), TypeError);
    await emulator.waitFor(({ counts }) => counts.inFlight === 1);
    await emulator[Symbol.asyncDispose]();
    await cut;
  });
}

Deno.test("IlertEmulator.inject() hits one key or one kind of request only", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "status", status: 500, key: "bad" });
  emulator.inject({ kind: "status", status: 429, on: "heartbeat" });
  assert.equal(await statusOf(post(emulator, { ...ALERT, integrationKey: "bad" })), 500);
  assert.equal(await statusOf(send(emulator, "POST", "/api/v1/events/mqtt/bad", "{}")), 500);
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
  assert.equal(await statusOf(send(emulator, "GET", "/api/heartbeats/il1hbt1")), 429);
});

Deno.test("IlertEmulator.inject() hits the same share of requests for the same seed", async () => {
  const run = async (seed: number) => {
    await using emulator = await IlertEmulator.start();
    emulator.inject({ kind: "status", status: 500, fraction: 0.5, seed });
    for (let n = 0; n < 100; n++) await statusOf(post(emulator, numbered(n)));
    return emulator.requests.map(({ status }) => status);
  };
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  assert.deepEqual(first, again);
  assert.notDeepEqual(first, other);
  const failed = first.filter((status) => status === 500).length;
  assert.ok(failed > 30 && failed < 70, `${failed} of 100`);
});

Deno.test("IlertEmulator.inject() delays the answer but takes the event at once", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "delay", ms: 60_000 });
  const answer = post(emulator, ALERT);
  await emulator.waitFor(({ accepted }) => accepted.length === 1);
  assert.equal(emulator.requests[0]?.status, null);
  emulator.releaseHanging();
  assert.equal(await statusOf(answer), 202);
});

Deno.test("IlertEmulator.inject() delays for the given time", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "delay", ms: 60 });
  const startedMs = performance.now();
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
  assert.ok(performance.now() - startedMs >= 55);
});

Deno.test("IlertEmulator.inject() lets requests hang until they are released", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "hang", times: 2 });
  const hanging = [post(emulator, numbered(1)), post(emulator, numbered(2))];
  await emulator.waitFor(({ counts }) => counts.inFlight === 2);
  assert.equal(emulator.accepted.length, 0);
  emulator.releaseHanging();
  assert.deepEqual(await Promise.all(hanging.map(statusOf)), [202, 202]);
});

Deno.test("IlertEmulator.inject() can take an event and yet answer an error", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "status", status: 502, takesEvent: true, times: 1 });
  assert.equal(await statusOf(post(emulator, numbered(1))), 502);
  assert.equal(await statusOf(post(emulator, numbered(1))), 202);
  assert.deepEqual([emulator.accepted.length, emulator.duplicates], [2, 1]);
});

Deno.test("IlertEmulator.inject() redirects, and answers 202 with a malformed body", async () => {
  await using emulator = await IlertEmulator.start();
  emulator.inject({ kind: "redirect", location: "http://a.example/", times: 1 });
  const redirected = await post(emulator, ALERT);
  assert.deepEqual([redirected.status, redirected.headers.get("location")], [307, "http://a.example/"]);
  await redirected.body?.cancel();
  assert.equal(emulator.accepted.length, 0);

  emulator.inject({ kind: "malformedBody", times: 1 });
  const malformed = await post(emulator, ALERT);
  assert.equal(malformed.status, 202);
  await assert.rejects(malformed.json(), SyntaxError);
  assert.equal(emulator.accepted.length, 1);
});

Deno.test("IlertEmulator.inject() limits the rate of each key, with Retry-After in both forms", async () => {
  await using emulator = await IlertEmulator.start();
  const limit = emulator.inject({ kind: "rateLimit", perSecond: 0 });
  const inSeconds = await post(emulator, ALERT);
  await inSeconds.body?.cancel();
  assert.deepEqual([inSeconds.status, inSeconds.headers.get("retry-after")], [429, "1"]);
  limit.remove();

  const before = Date.now();
  emulator.inject({ kind: "rateLimit", perSecond: 0, retryAfter: "date", key: "dated" });
  const dated = await post(emulator, { ...ALERT, integrationKey: "dated" });
  await dated.body?.cancel();
  const waitMs = Date.parse(dated.headers.get("retry-after") ?? "") - before;
  assert.ok(waitMs >= 1_000 && waitMs <= 3_000, `${waitMs} ms`);

  emulator.inject({ kind: "rateLimit", perSecond: 1_000 });
  const statuses = await Promise.all(
    Array.from({ length: 50 }, (_, n) => statusOf(post(emulator, numbered(n)))),
  );
  assert.deepEqual(new Set(statuses), new Set([202]));
});

Deno.test("IlertEmulator.inject() resets the connection before any answer", async () => {
  await using emulator = await IlertEmulator.start({ rawFaults: true });
  emulator.inject({ kind: "reset", times: 1 });
  await assert.rejects(post(emulator, ALERT), (error) => causeOf(error, /reset by peer/));
  assert.deepEqual([emulator.requests[0]?.status, emulator.accepted.length], ["reset", 0]);
  assert.equal(await statusOf(post(emulator, ALERT)), 202);
});

Deno.test("IlertEmulator.inject() resets the connection in the middle of the body of a 202", async () => {
  await using emulator = await IlertEmulator.start({ rawFaults: true });
  emulator.inject({ kind: "resetMidBody", times: 1 });
  const response = await post(emulator, ALERT);
  assert.equal(response.status, 202);
  await assert.rejects(response.text(), TypeError);
  assert.deepEqual([emulator.requests[0]?.status, emulator.accepted.length], ["resetMidBody", 1]);
});

Deno.test("IlertEmulator.inject() answers bytes that are not HTTP", async () => {
  await using emulator = await IlertEmulator.start({ rawFaults: true });
  emulator.inject({ kind: "notHttp", times: 1 });
  await assert.rejects(post(emulator, ALERT), TypeError);
  assert.equal(emulator.requests[0]?.status, "notHttp");
});

Deno.test("IlertEmulator.inject() refuses a raw fault when it was started without rawFaults", async () => {
  await using emulator = await IlertEmulator.start();
  for (const kind of ["reset", "resetMidBody", "notHttp"] as const) {
    assert.throws(
      () => emulator.inject({ kind }),
      /Cannot inject .*: the emulator was started without rawFaults/,
    );
  }
});

/** fetch() itself says only that it failed. */
function causeOf(error: unknown, pattern: RegExp): boolean {
  assert.ok(error instanceof TypeError);
  assert.match(String(error.cause), pattern);
  return true;
}
