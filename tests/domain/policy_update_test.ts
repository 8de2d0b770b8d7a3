import assert from "node:assert/strict";
import fc from "fast-check";
import type { PolicyMapping } from "../../src/domain/mapping_config.ts";
import type { PolicyUpdate } from "../../src/domain/policy_update.ts";
import { mapped, POLICY_MAPPING, reasonOf } from "../support/mapped_messages.ts";

const SHIFT_CHANGE = {
  location: "powerplant",
  slot: "three50",
  line: 7,
  empty: "",
  data: { email: "support@example.org", shift: "1" },
};

function map(payload: unknown, policy: Partial<PolicyMapping> = {}) {
  return mapped(payload, {}, { topic: "shifts", policy: { ...POLICY_MAPPING, ...policy } });
}

function updateOf(payload: unknown, policy: Partial<PolicyMapping> = {}): PolicyUpdate {
  const message = map(payload, policy);
  assert.equal(message.kind, "policy", JSON.stringify(message));
  return (message as typeof message & { kind: "policy" }).update;
}

function withShift(shift: unknown, shiftOffset = 0) {
  const data = { ...SHIFT_CHANGE.data, shift };
  const message = map({ ...SHIFT_CHANGE, data }, { shiftOffset });
  return [message.kind === "policy" ? message.update.level : message.kind, message.warnings.length];
}

Deno.test("mapMessage() reads who takes over which level of which policy", () => {
  assert.deepEqual(map(SHIFT_CHANGE), {
    kind: "policy",
    update: { email: "support@example.org", routingKey: "powerplantthree50", level: 1 },
    warnings: [],
  });
});

Deno.test("mapMessage() joins the texts of the routing key's fields in their order", () => {
  const key = (...routingKeyFields: string[]) => updateOf(SHIFT_CHANGE, { routingKeyFields }).routingKey;
  assert.equal(key("location"), "powerplant");
  assert.equal(key("slot", "location"), "three50powerplant");
  assert.equal(key("location", "nowhere", "slot"), "powerplantthree50");
  assert.equal(key("location", "empty"), "powerplant");
  assert.equal(key("location", "data.email"), "powerplant");
});

Deno.test("mapMessage() ignores a field of the routing key that is not a string, with a warning", () => {
  const message = map(SHIFT_CHANGE, { routingKeyFields: ["location", "line"] });
  assert.equal(message.kind === "policy" && message.update.routingKey, "powerplant");
  assert.deepEqual(message.warnings, ["routing key: the field 'line' is not a string"]);
});

Deno.test("mapMessage() cannot use an update without a routing key", () => {
  const reason = (...routingKeyFields: string[]) => reasonOf(map(SHIFT_CHANGE, { routingKeyFields }));
  assert.equal(reason("nowhere", "empty"), "the routing key is empty: no text in 'nowhere', 'empty'");
  assert.equal(reason(), "the routing key is empty: --policy_routing_keys names no field");
  assert.deepEqual(map(SHIFT_CHANGE, { routingKeyFields: ["constructor"] }).warnings, []);
});

Deno.test("mapMessage() reads the e-mail address at its path, and cannot use an update without one", () => {
  assert.equal(updateOf({ ...SHIFT_CHANGE, who: "a@b" }, { emailPath: "who" }).email, "a@b");
  assert.equal(reasonOf(map(SHIFT_CHANGE, { emailPath: "who" })), "there is no e-mail address at 'who'");
  for (const email of ["", null, 5]) {
    assert.match(reasonOf(map({ ...SHIFT_CHANGE, data: { email } })), /no e-mail address at 'data.email'/);
  }
});

Deno.test("mapMessage() reads a shift given as number or text and adds the offset, down to 0", () => {
  assert.deepEqual(withShift(2), [2, 0]);
  assert.deepEqual(withShift("2"), [2, 0]);
  assert.deepEqual(withShift("+2"), [2, 0]);
  assert.deepEqual(withShift(2, -1), [1, 0]);
  assert.deepEqual(withShift("3", -1), [2, 0]);
  assert.deepEqual(withShift(2, -5), [0, 0]);
  assert.deepEqual(withShift(-2), [0, 0]);
  assert.deepEqual(withShift("-1", 3), [2, 0]);
  assert.equal(updateOf({ ...SHIFT_CHANGE, level: 4 }, { shiftPath: "level" }).level, 4);
});

Deno.test("mapMessage() takes a missing shift for 0, and one it cannot read with a warning", () => {
  assert.deepEqual(withShift(undefined), [0, 0]);
  assert.deepEqual(withShift(null), [0, 0]);
  assert.deepEqual(withShift(undefined, 2), [2, 0]);
  for (const wrong of ["", "x", "1.5", " 2", 1.5, true, {}, [1], "99999999999999999999"]) {
    assert.deepEqual(withShift(wrong), [0, 1], JSON.stringify(wrong));
  }
});

Deno.test("mapMessage() answers with a whole level of at least 0 for any shift and offset", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.integer({ min: -1_000_000, max: 1_000_000 }), (shift, offset) => {
    const [level] = withShift(shift, offset);
    assert.ok(Number.isSafeInteger(level) && Number(level) >= 0 && !Object.is(level, -0), String(level));
  }));
});
