import assert from "node:assert/strict";
import { edgeItem } from "../../src/domain/edge_item.ts";
import { HttpSink, type HttpTarget } from "../../src/sinks/http.ts";
import { testSinkContract } from "../contracts/sink_contract.ts";
import { numberedItem } from "../support/edge_items.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { WebhookTarget } from "../support/webhook_target.ts";

const LIVE = new AbortController().signal;

async function httpSink(more: Partial<HttpTarget> = {}) {
  const target = await WebhookTarget.start();
  const sink = new HttpSink({ url: target.url, method: "POST", auth: null, ...more });
  return {
    target,
    sink,
    received: () => target.taken.map(({ body }) => body),
    outage: { begin: () => target.goDown(), end: () => Promise.resolve(target.comeBack()) },
    stall: {
      begin: () => Promise.resolve(target.hang()),
      end: () => Promise.resolve(target.release()),
    },
    async [Symbol.asyncDispose]() {
      await sink[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    },
  };
}

testSinkContract("HttpSink", () => httpSink());

Deno.test("HttpSink.deliver() sends the payload as JSON with the event's headers and the auth header", async () => {
  await using all = await httpSink({ method: "PUT", auth: { header: "X-API-Key", value: "s3cret" } });
  await outcomesOf(all.sink, [edgeItem("17", { eventType: "alert-resolved", id: 42, n: 1 })], LIVE);
  const [delivery] = all.target.arrived;
  assert.ok(delivery);
  assert.deepEqual([delivery.method, delivery.path, delivery.body], [
    "PUT",
    "/events",
    '{"eventType":"alert-resolved","id":42,"n":1}',
  ]);
  const header = (name: string) => delivery.headers.get(name);
  assert.equal(header("content-type"), "application/json");
  assert.equal(header("x-ilert-event-type"), "alert-resolved");
  assert.equal(header("x-ilert-alert-id"), "42");
  assert.equal(header("x-ilert-edge-item-id"), "17");
  assert.equal(header("x-api-key"), "s3cret");
  assert.match(header("user-agent") ?? "", /^ilagent\//);
});

Deno.test("HttpSink.deliver() leaves headers empty that the payload lacks, and encodes what a header cannot carry", async () => {
  await using all = await httpSink();
  const outcomes = [
    ...await outcomesOf(all.sink, [edgeItem("1", {})], LIVE),
    ...await outcomesOf(all.sink, [edgeItem("2", { eventType: "a\r\nx-evil: 1", id: "ü\ud800" })], LIVE),
  ];
  assert.deepEqual(outcomes, [{ kind: "delivered" }, { kind: "delivered" }]);
  const headers = all.target.arrived.map((delivery) => delivery.headers);
  assert.equal(headers[0]?.get("x-ilert-alert-id"), "");
  assert.equal(headers[1]?.get("x-ilert-event-type"), "a%0D%0Ax-evil: 1");
  assert.equal(headers[1]?.get("x-ilert-alert-id"), "%C3%BC%EF%BF%BD");
  assert.equal(headers[1]?.get("x-evil"), null);
});

for (
  const [statuses, kind] of [
    [[200, 201, 202, 204, 299], "delivered"],
    [[400, 401, 403, 404, 408, 410, 418, 422, 499], "rejected"],
    [[300, 301, 302, 304, 307, 308, 399, 429, 500, 502, 503, 504, 599], "retry"],
  ] as const
) {
  Deno.test(`HttpSink.deliver() takes ${statuses.join(", ")} as ${kind}`, async () => {
    await using all = await httpSink();
    for (const status of statuses) {
      const location = { location: all.target.url.replace("events", "elsewhere") };
      const body = [204, 304].includes(status) ? null : "why";
      all.target.answer = () => new Response(body, { status, headers: location });
      const [outcome] = await outcomesOf(all.sink, [numberedItem(1)], LIVE);
      assert.equal(outcome?.kind, kind, `${status}`);
      if (outcome.kind === "rejected") {
        assert.deepEqual(outcome, {
          kind,
          status,
          reason: `the target answered ${status}`,
          responseBody: "why",
        });
      }
    }
    assert.deepEqual(all.target.arrived.filter(({ path }) => path !== "/events"), []);
  });
}

Deno.test("HttpSink.deliver() uses one connection for one delivery after the other, whatever the bodies of the answers", async () => {
  const ports = new Set<number>();
  const answers = [
    () => new Response("ok"),
    () => new Response(new Blob(["chunk"]).stream()),
    () => new Response(null, { status: 204 }),
    () => new Response("no", { status: 404 }),
  ];
  let asked = 0;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request, info) => {
      await request.text();
      ports.add((info.remoteAddr as Deno.NetAddr).port);
      return answers[asked++ % answers.length]?.() ?? new Response();
    },
  );
  await using sink = new HttpSink({
    url: `http://127.0.0.1:${server.addr.port}/`,
    method: "POST",
    auth: null,
  });
  for (let n = 0; n < 20; n++) await outcomesOf(sink, [numberedItem(n)], LIVE);
  assert.equal(asked, 20);
  assert.equal(ports.size, 1);
});

Deno.test("HttpSink.deliver() takes a body without an end for what its status says", async () => {
  await using all = await httpSink();
  all.target.answer = () =>
    new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(120)) }),
      { status: 404 },
    );
  const [outcome] = await outcomesOf(all.sink, [numberedItem(1)], LIVE);
  assert.ok(outcome?.kind === "rejected" && outcome.responseBody?.length === 4_096);
});

Deno.test("HttpSink.deliver() says why a target cannot be reached, without its address or its secret", async () => {
  await using all = await httpSink({ auth: { header: "Authorization", value: "Bearer secret-token" } });
  await all.target.goDown();
  const [outcome] = await outcomesOf(all.sink, [numberedItem(1)], LIVE);
  assert.ok(outcome?.kind === "retry");
  assert.match(outcome.reason, /^the target cannot be reached: .*refused/i);
  assert.doesNotMatch(outcome.reason, /secret-token|http:/);
});
