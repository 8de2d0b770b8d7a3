import assert from "node:assert/strict";
import { Certificates } from "../../scripts/services/certificates.ts";
import { Requests } from "../../src/ilert/requests.ts";
import { discard } from "../../src/runtime/http_answers.ts";
import { NetworkProxy } from "../support/network_proxy.ts";

const NEVER = new AbortController().signal;
const TIMEOUT_MS = 300;

Deno.test("Requests.send() leaves a connection that brings no answer, HTTP/2's one for all included", async () => {
  await using made = await Certificates.create();
  await using server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    cert: await Deno.readTextFile(made.server.certFile),
    key: await Deno.readTextFile(made.server.keyFile),
    onListen() {},
  }, () => new Response("{}"));
  await using proxy = await NetworkProxy.start(server.addr.port);
  const caCerts = [await Deno.readTextFile(made.caFile)];
  using requests = new Requests({ poolMaxIdlePerHost: 4, caCerts }, Date.now, TIMEOUT_MS);
  const send = () =>
    requests.send(`https://127.0.0.1:${proxy.port}/`, {}, NEVER, async (response) => {
      await discard(response);
      return "answered";
    }, (reason) => reason);
  assert.equal(await send(), "answered");
  proxy.strand();
  const late = "no answer within 0.3 s";
  assert.deepEqual(await Promise.all([send(), send()]), [late, late]);
  assert.deepEqual(await Promise.all([send(), send()]), ["answered", "answered"]);
});

Deno.test("Requests.send() lets requests under way end when another brings no answer", async () => {
  const slow = Promise.withResolvers<void>();
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    await (request.url.endsWith("/hang")
      ? new Promise((resolve) => setTimeout(resolve, 1_000))
      : slow.promise);
    return new Response("{}");
  });
  using requests = new Requests({ poolMaxIdlePerHost: 4 }, Date.now, TIMEOUT_MS);
  const send = (path: string) =>
    requests.send(`http://127.0.0.1:${server.addr.port}${path}`, {}, NEVER, async (response) => {
      await discard(response);
      return "answered";
    }, (reason) => reason);
  const hanging = send("/hang");
  await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS + 150));
  const other = send("/slow");
  assert.equal(await hanging, "no answer within 0.3 s");
  slow.resolve();
  assert.equal(await other, "answered");
});
