import assert from "node:assert/strict";
import { outlookOf } from "./services.ts";

Deno.test("outlookOf() runs a test that has its services, else skips it, and fails it where they are required", () => {
  assert.deepEqual(outlookOf([], true), { kind: "run" });
  assert.deepEqual(outlookOf([], false), { kind: "run" });
  const reason = "mosquitto and kafka not installed: deno task services install";
  assert.deepEqual(outlookOf(["mosquitto", "kafka"], false), { kind: "skip", reason });
  assert.deepEqual(outlookOf(["mosquitto", "kafka"], true), { kind: "fail", reason });
});
