import assert from "node:assert/strict";
import { EdgeApi, POLL_BYTES_MAX, type PollAnswer, type PollQuery } from "../../src/ilert/edge_api.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator, type IlertEmulatorOptions } from "../support/ilert_emulator.ts";

const LIVE = new AbortController().signal;
const SINGLE: PollQuery = { kind: "single", afterId: "0" };

async function edgeApi(options: IlertEmulatorOptions = {}, connectorKey = "iec1-test-key") {
  const ilert = await IlertEmulator.start(options);
  const api = new EdgeApi({ apiHost: ilert.url, connectorKey }, () => Date.now());
  return {
    ilert,
    api,
    poll: (query: PollQuery = SINGLE, signal = LIVE) => api.poll(query, signal),
    async [Symbol.asyncDispose]() {
      api[Symbol.dispose]();
      await ilert[Symbol.asyncDispose]();
    },
  };
}

function batchOf(answer: PollAnswer): PollAnswer & { kind: "batch" } {
  assert.ok(answer.kind === "batch", JSON.stringify(answer));
  return answer;
}

function reasonOf(answer: PollAnswer): string {
  assert.ok(answer.kind === "failed", JSON.stringify(answer));
  return answer.reason;
}

Deno.test("EdgeApi.poll() asks for 100 items after the cursor with the raw key, and hands on what comes", async () => {
  await using all = await edgeApi({ edgeKey: "iec1-test-key" });
  all.ilert.edge.add(edgePayload(1), edgePayload(2));
  const { items, isFull, role } = batchOf(await all.poll({ kind: "single", afterId: "1" }));
  assert.deepEqual(items, [{
    kind: "item",
    item: { id: "2", payload: edgePayload(2), body: JSON.stringify(edgePayload(2)) },
  }]);
  assert.deepEqual([isFull, role], [false, null]);
  const [request] = all.ilert.requests;
  assert.equal(request?.path, "/api/edge-connections/events?limit=100&after-id=1");
  assert.equal(request?.headers.authorization, "iec1-test-key");
  assert.match(request?.headers["user-agent"] ?? "", /^ilagent\/\d/);
});

Deno.test("EdgeApi.poll() names cluster, instance and what was processed last, once there is something", async () => {
  await using all = await edgeApi();
  const member = { kind: "cluster", clusterId: "prod & co", instanceId: "node-1" } as const;
  assert.equal(batchOf(await all.poll({ ...member, lastProcessedId: null })).role, "leader");
  await all.poll({ ...member, lastProcessedId: "0" });
  await all.poll({ ...member, lastProcessedId: "17" });
  const other = await all.poll({ ...member, instanceId: "node-2", lastProcessedId: null });
  assert.deepEqual(other, { kind: "batch", items: [], isFull: false, role: "standby" });
  const start = "/api/edge-connections/events?limit=100&cluster-id=prod%20%26%20co&instance-id=node";
  assert.deepEqual(all.ilert.requests.map(({ path }) => path), [
    `${start}-1`,
    `${start}-1`,
    `${start}-1&last-processed-id=17`,
    `${start}-2`,
  ]);
});

Deno.test("EdgeApi.poll() says when a batch is full", async () => {
  await using all = await edgeApi();
  all.ilert.edge.fill(101);
  const { items, isFull } = batchOf(await all.poll());
  assert.deepEqual([items.length, isFull], [100, true]);
  assert.equal(batchOf(await all.poll({ kind: "single", afterId: "2" })).isFull, false);
});

Deno.test("EdgeApi.poll() keeps ids and numbers exact, however large, whether text or number", async () => {
  await using all = await edgeApi();
  all.ilert.edge.addItem('{"id":9223372036854775807,"payload":{"n":90071992547409931234,"f":1.50}}');
  all.ilert.edge.addItem('{"id":"9223372036854775808","payload":{"id":12345678901234567890}}');
  const { items } = batchOf(await all.poll());
  assert.deepEqual(
    items.map((polled) => polled.kind === "item" ? [polled.item.id, polled.item.body] : polled),
    [
      ["9223372036854775807", '{"n":90071992547409931234,"f":1.5}'],
      ["9223372036854775808", '{"id":12345678901234567890}'],
    ],
  );
});

Deno.test("EdgeApi.poll() marks items that nothing can be done with, and keeps all that came", async () => {
  await using all = await edgeApi();
  const payload = { eventType: "alert-created" };
  const ids: unknown[] = [undefined, null, "", "abc", -1, 1.5, 1e30, true, [1], "007", " 7"];
  for (const id of ids) all.ilert.edge.addItem({ id, payload });
  for (const item of [null, 7, "text", []]) all.ilert.edge.addItem(JSON.stringify(item));
  for (const odd of [null, "text", 7, [payload], undefined]) all.ilert.edge.addItem({ id: 9, payload: odd });
  const { items } = batchOf(await all.poll());
  const found = items.map((polled) =>
    polled.kind === "unusable" ? `${polled.id}: ${polled.reason}` : `${polled.item.id} is usable`
  );
  assert.deepEqual(found, [
    ...ids.map((id) => `null: the item has no usable id (${id === undefined ? "none" : JSON.stringify(id)})`),
    ...[1, 2, 3, 4].map(() => "null: the item is not an object"),
    ...[1, 2, 3, 4, 5].map(() => "9: the item's payload is not an object"),
  ]);
  const texts = items.map((polled) => polled.kind === "unusable" ? polled.json : "");
  assert.deepEqual(texts.slice(-2), [JSON.stringify([payload]), '{"id":9}']);
  assert.deepEqual(items[3], {
    kind: "unusable",
    id: null,
    json: JSON.stringify(payload),
    reason: 'the item has no usable id ("abc")',
  });
});

for (
  const [body, how] of [
    ["", "it is not JSON"],
    ["<html>", "it is not JSON"],
    ['{"items":[', "it is not JSON"],
    ["null", "it is not an object"],
    ['[{"id":1,"payload":{}}]', "it is not an object"],
    ["{}", "it has no list 'items'"],
    ['{"items":null}', "it has no list 'items'"],
    ['{"items":{"id":1,"payload":{}}}', "it has no list 'items'"],
    ['{"items":"x"}', "it has no list 'items'"],
    ['{"items":[],"role":"king"}', "its 'role' is neither leader nor standby"],
    ['{"items":[],"role":7}', "its 'role' is neither leader nor standby"],
  ] as const
) {
  Deno.test(`EdgeApi.poll() takes the answer '${body}' for a failure`, async () => {
    await using all = await edgeApi();
    all.ilert.inject({ kind: "status", status: 200, body });
    assert.equal(reasonOf(await all.poll()), `ilert's answer is malformed: ${how}`);
  });
}

Deno.test("EdgeApi.poll() refuses a body of 50 MB while it arrives, and takes the next answer", async () => {
  await using all = await edgeApi();
  all.ilert.inject({ kind: "largeBody", bytes: 50_000_000, times: 1 });
  assert.equal(reasonOf(await all.poll()), `ilert's answer is larger than ${POLL_BYTES_MAX} bytes`);
  assert.equal(batchOf(await all.poll()).items.length, 0);
});

Deno.test("EdgeApi.poll() does not read a body without an end", async () => {
  let sent = 0;
  const chunk = new Uint8Array(1_000_000).fill(32);
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          sent += chunk.length;
          controller.enqueue(chunk);
        },
      }),
    ));
  using api = new EdgeApi({ apiHost: `http://127.0.0.1:${server.addr.port}`, connectorKey: "k" }, () => 0);
  assert.match(reasonOf(await api.poll(SINGLE, LIVE)), /larger than/);
  assert.ok(sent < 2 * POLL_BYTES_MAX, `${sent} bytes were taken`);
});

for (
  const [status, reason] of [
    [401, "authentication failed — check integration key"],
    [403, "ilert answered 403"],
    [404, "ilert answered 404"],
    [302, "ilert answered 302"],
    [500, "ilert answered 500"],
  ] as const
) {
  Deno.test(`EdgeApi.poll() answers ${status} with '${reason}'`, async () => {
    await using all = await edgeApi();
    all.ilert.inject({ kind: "status", status, headers: { location: `${all.ilert.url}/elsewhere` } });
    assert.deepEqual(await all.poll(), { kind: "failed", reason, retryAfterMs: null });
    assert.equal(all.ilert.counts.requests, 1);
  });
}

Deno.test("EdgeApi.poll() hands on how long a 429 asks it to wait, and no other answer", async () => {
  await using all = await edgeApi();
  for (const [status, retryAfterMs] of [[429, 42_000], [503, null]] as const) {
    const { remove } = all.ilert.inject({ kind: "status", status, headers: { "retry-after": "42" } });
    assert.deepEqual(await all.poll(), { kind: "failed", reason: `ilert answered ${status}`, retryAfterMs });
    remove();
  }
});

Deno.test("EdgeApi.poll() says why ilert cannot be reached, and what broke off", async () => {
  await using all = await edgeApi({ rawFaults: true });
  for (const kind of ["reset", "resetMidBody", "notHttp"] as const) {
    const { remove } = all.ilert.inject({ kind });
    assert.match(reasonOf(await all.poll()), /^ilert cannot be reached: .{5,}$/);
    remove();
  }
  await all.ilert.goDown();
  assert.match(reasonOf(await all.poll()), /^ilert cannot be reached: .*refused/i);
});

Deno.test("EdgeApi.poll() takes bytes that are not UTF-8 for a failure", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response(new Uint8Array([0x7b, 0xff, 0x7d])),
  );
  using api = new EdgeApi({ apiHost: `http://127.0.0.1:${server.addr.port}`, connectorKey: "k" }, () => 0);
  assert.equal(reasonOf(await api.poll(SINGLE, LIVE)), "ilert's answer is not UTF-8");
});

Deno.test("EdgeApi.poll() ends with its signal", async () => {
  await using all = await edgeApi();
  all.ilert.inject({ kind: "hang" });
  const abort = new AbortController();
  const poll = all.poll(SINGLE, abort.signal);
  await all.ilert.waitFor(({ counts }) => counts.requests === 1);
  abort.abort();
  assert.equal(reasonOf(await poll), "the agent is shutting down");
});
