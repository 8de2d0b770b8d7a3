import assert from "node:assert/strict";
import { redactKey, redactText } from "../../src/runtime/redact.ts";

Deno.test("redactKey() shows which key it is and never enough to use it", () => {
  assert.equal(redactKey("il1api0123456789abcdefXYZ"), "il1api…XYZ");
  assert.equal(redactKey("short-key"), "sho…");
  assert.equal(redactKey("k"), "…");
});

Deno.test("redactText() hides given secrets and whatever looks like a key of ilert", () => {
  const text = "token s$&cret for http://x/api/heartbeats/il1hbt0123456789abcdef: refused";
  assert.equal(redactText(text, ["s$&cret"]), "token … for http://x/api/heartbeats/il1hbt…def: refused");
});
