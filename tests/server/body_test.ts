import assert from "node:assert/strict";
import { BODY_BYTES_MAX, readBody } from "../../src/server/body.ts";

const NEVER = new AbortController().signal;

function request(body: BodyInit | null, headers: HeadersInit = {}): Request {
  return new Request("http://x/", { method: "POST", body, headers });
}

Deno.test("readBody() reads a body up to its limit and refuses a larger one while it arrives", async () => {
  assert.deepEqual(await readBody(request("x".repeat(BODY_BYTES_MAX)), NEVER), {
    kind: "text",
    text: "x".repeat(BODY_BYTES_MAX),
  });
  assert.deepEqual(await readBody(request("x".repeat(BODY_BYTES_MAX + 1)), NEVER), { kind: "too_large" });
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(1_000));
    },
  });
  assert.deepEqual(await readBody(request(endless), NEVER), { kind: "too_large" });
  assert.ok(pulled < 25, `${pulled} chunks were read`);
});

Deno.test("readBody() believes a Content-Length that is too large without reading", async () => {
  assert.deepEqual(await readBody(request("{}", { "content-length": "16001" }), NEVER), {
    kind: "too_large",
  });
});

Deno.test("readBody() ends a body that does not arrive in time", async () => {
  const silent = new ReadableStream<Uint8Array>();
  assert.deepEqual(await readBody(request(silent), AbortSignal.timeout(5)), { kind: "too_slow" });
});

Deno.test("readBody() joins chunks in the middle of a character and refuses bytes that are not UTF-8", async () => {
  const bytes = new TextEncoder().encode("é");
  const split = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.subarray(0, 1));
      controller.enqueue(bytes.subarray(1));
      controller.close();
    },
  });
  assert.deepEqual(await readBody(request(split), NEVER), { kind: "text", text: "é" });
  assert.deepEqual(await readBody(request(new Uint8Array([0xff, 0xfe])), NEVER), { kind: "broken" });
  assert.deepEqual(await readBody(request(null), NEVER), { kind: "text", text: "" });
});
