import assert from "node:assert/strict";
import fc from "fast-check";
import { eventBody } from "../../src/domain/event.ts";
import { parseJson } from "../../src/domain/json.ts";
import { mapMessage, type MessageMapping } from "../../src/domain/mapping.ts";
import { mapped, PLAIN_MAPPING, POLICY_MAPPING, reasonOf } from "../support/mapped_messages.ts";

Deno.test("mapMessage() passes only messages that have the filter's field, and its value where one is given", () => {
  const kind = (fields: object, value: string | null, topic = "events/a") =>
    mapped({ apiKey: "k", ...fields }, { filter: { field: "type", value } }, { topic }).kind;
  assert.equal(kind({ type: "ALARM" }, null), "event");
  assert.equal(kind({ type: null }, null), "event");
  assert.equal(kind({ type: 123 }, null), "event");
  assert.equal(kind({}, null), "filtered");
  assert.equal(kind({ nested: { type: "ALARM" } }, null), "filtered");
  assert.equal(kind({ type: "ALARM" }, "ALARM"), "event");
  assert.equal(kind({ type: "INFO" }, "ALARM"), "filtered");
  assert.equal(kind({ type: 123 }, "123"), "filtered");
  assert.equal(kind({}, "ALARM"), "filtered");
  assert.equal(kind({ type: "" }, ""), "event");
  assert.equal(kind({ type: "INFO" }, "ALARM", "shifts"), "filtered");
  assert.equal(kind({ type: "INFO" }, "ALARM", "beats"), "heartbeat");
});

Deno.test("mapMessage() reads a filter's field as a top-level name, and never an inherited one", () => {
  const kind = (fields: object, field: string) =>
    mapped({ apiKey: "k", ...fields }, { filter: { field, value: null } }).kind;
  assert.equal(kind({ a: { b: 1 } }, "a.b"), "filtered");
  assert.equal(kind({ "a.b": 1 }, "a.b"), "event");
  assert.equal(kind({}, "toString"), "filtered");
});

Deno.test("mapMessage() drops what the filter drops before it looks at its fields", () => {
  const filter = { filter: { field: "type", value: "ALARM" } };
  assert.equal(mapped({ type: "INFO", summary: 5 }, filter).kind, "filtered");
  assert.equal(mapped("not json", filter).kind, "unusable");
});

Deno.test("mapMessage() cannot use what is no JSON object in UTF-8", () => {
  assert.match(reasonOf(mapped("not json")), /^the message is not JSON: /);
  assert.equal(reasonOf(mapped("")), "the message is not JSON: it is empty");
  for (const text of ["[]", '"x"', "5", "null", "12345678901234567890"]) {
    assert.equal(reasonOf(mapped(text)), "the message is not a JSON object", text);
    assert.equal(reasonOf(mapped(text, {}, { topic: "shifts" })), "the message is not a JSON object", text);
    assert.equal(reasonOf(mapped(text, {}, { topic: "beats" })), "the message is not a JSON object", text);
  }
  const latin1 = Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xe9, 0x22, 0x7d);
  const message = { topic: "events/a", key: null, payload: latin1 };
  const result = mapMessage(message, { broker: "mqtt", mapping: PLAIN_MAPPING, policy: POLICY_MAPPING });
  assert.deepEqual(result, {
    kind: "unusable",
    role: "event",
    reason: "the message is not UTF-8 text",
    warnings: [],
  });
});

Deno.test("mapMessage() reads text that the queue kept, and bytes that begin with a byte order mark", () => {
  const payload = '{"apiKey":"k"}';
  const settings = { broker: "mqtt", mapping: PLAIN_MAPPING, policy: null } as const;
  assert.equal(mapMessage({ topic: "events/a", key: null, payload }, settings).kind, "event");
  assert.equal(mapped(`\ufeff${payload}`).kind, "event");
});

Deno.test("mapMessage() refuses a message that is nested too deeply to be written back", () => {
  const nested = (levels: number, leaf = "1") =>
    `{"apiKey":"k","customDetails":${'{"a":'.repeat(levels)}${leaf}${"}".repeat(levels)}}`;
  assert.equal(mapped(nested(400)).kind, "event");
  assert.match(reasonOf(mapped(nested(600))), /nested more than 500 levels/);
  assert.match(reasonOf(mapped(nested(100_000))), /nested/);
  assert.match(reasonOf(mapped(nested(100_000, "12345678901234567890"))), /nested/);
});

Deno.test("mapMessage() makes a ping of a heartbeat message", () => {
  const beat = (fields: unknown) => mapped(fields, {}, { topic: "beats" });
  assert.deepEqual(beat({ apiKey: "il1hbt1" }), { kind: "heartbeat", key: "il1hbt1", warnings: [] });
  assert.deepEqual(beat({ integrationKey: "il1hbt2" }), { kind: "heartbeat", key: "il1hbt2", warnings: [] });
  assert.match(reasonOf(beat("ping")), /not JSON/);
  assert.deepEqual(mapped({ apiKey: "own" }, { integrationKey: "flag" }, { topic: "beats" }), {
    kind: "heartbeat",
    key: "own",
    warnings: [],
  });
});

Deno.test("mapMessage() filters what no configured topic takes", () => {
  const elsewhere = mapped({ apiKey: "k" }, {}, { topic: "elsewhere" });
  assert.deepEqual(elsewhere, {
    kind: "filtered",
    why: 'no configured topic takes messages of "elsewhere"',
    warnings: [],
  });
  assert.equal(mapped({ apiKey: "k" }, {}, { topic: "shifts", policy: null }).kind, "filtered");
});

Deno.test("mapMessage() says what is unusable by the role of its topic", () => {
  for (
    const [topic, role] of [["events/a", "event"], ["beats", "heartbeat"], ["shifts", "policy"]] as const
  ) {
    const message = mapped("{}", {}, { topic });
    assert.equal(message.kind === "unusable" && message.role, role);
  }
});

const anyConfig = fc.record({
  integrationKey: fc.option(fc.string({ minLength: 1 })),
  eventTypePath: fc.option(fc.constantFrom("a", "a.b", "eventType")),
  alertKeyPath: fc.option(fc.constantFrom("b", "a.c")),
  summaryPath: fc.option(fc.constantFrom("a", "summary")),
  filter: fc.option(fc.record({ field: fc.constantFrom("a", "b"), value: fc.option(fc.string()) })),
  forwardPayload: fc.boolean(),
});

const anyFields = fc.dictionary(
  fc.constantFrom(
    "apiKey",
    "integrationKey",
    "eventType",
    "summary",
    "alertKey",
    "priority",
    "labels",
    "a",
    "b",
    "c",
  ),
  fc.oneof(fc.string(), fc.constantFrom("ALERT", "RESOLVE", "k"), fc.jsonValue()),
);

Deno.test("mapMessage() never throws, and what it calls an event can be sent and stored", () => {
  const roles = fc.constantFrom("events/a", "beats", "shifts", "other");
  fc.assert(
    fc.property(
      anyFields,
      anyConfig,
      roles,
      fc.constantFrom("mqtt", "kafka"),
      (fields, config, topic, broker) => {
        const message = mapped(fields, config, { topic, broker, key: "m" });
        if (message.kind !== "event") return;
        const { event, apiPath } = message;
        assert.notEqual(event.integrationKey.trim(), "");
        assert.ok(event.eventType !== "ALERT" || event.summary.trim() !== "");
        const texts = [event.integrationKey, event.summary, event.alertKey ?? "", event.details ?? ""];
        assert.ok(texts.every((text) => !text.includes("\0")));
        const url = new URL(`http://x/api${apiPath}`);
        assert.equal(decodeURIComponent(url.pathname), `/api/v1/events/${broker}/${event.integrationKey}`);
        const { customDetails } = parseJson(eventBody(event)) as { customDetails: unknown };
        assert.deepEqual(customDetails, event.customDetails);
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("mapMessage() never throws for any bytes", () => {
  fc.assert(fc.property(fc.uint8Array(), (payload) => {
    const settings = {
      broker: "kafka",
      mapping: { ...PLAIN_MAPPING, topics: { ...PLAIN_MAPPING.topics, event: "e" } },
      policy: POLICY_MAPPING,
    };
    mapMessage({ topic: "e", key: null, payload }, settings as MessageMapping);
  }));
});
