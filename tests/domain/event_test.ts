import assert from "node:assert/strict";
import fc from "fast-check";
import { eventBody, parseEvent } from "../../src/domain/event.ts";
import { parseJson } from "../../src/domain/json.ts";

const minimal = { apiKey: "il1api1", eventType: "ALERT", summary: "Disk full" };

function problemOf(json: unknown): string {
  const parsed = parseEvent(json);
  return parsed.ok ? "none" : parsed.problem;
}

Deno.test("parseEvent() puts U+FFFD for half a surrogate pair, as SQLite does", () => {
  const parsed = parseEvent({ ...minimal, summary: "a\ud800", alertKey: "disk \ud83d", details: "\udc00" });
  assert.ok(parsed.ok);
  const { summary, alertKey, details } = parsed.event;
  assert.deepEqual([summary, alertKey, details], ["a\ufffd", "disk \ufffd", "\ufffd"]);
});

Deno.test("parseEvent() takes apiKey as the integration key, and integrationKey before it", () => {
  const parsed = parseEvent({ ...minimal, integrationKey: "il1api2" });
  assert.equal(parsed.ok && parsed.event.integrationKey, "il1api2");
  assert.equal(
    (parseEvent(minimal) as { event: { integrationKey: string } }).event.integrationKey,
    "il1api1",
  );
});

Deno.test("parseEvent() answers with the contract's words for unsupported values", () => {
  assert.equal(problemOf({ ...minimal, eventType: "alert" }), "Unsupported value for field 'eventType'.");
  assert.equal(problemOf({ ...minimal, eventType: 5 }), "Unsupported value for field 'eventType'.");
  assert.equal(problemOf({ ...minimal, priority: "URGENT" }), "Unsupported value for field 'priority'.");
  assert.equal(problemOf({ ...minimal, severity: 6 }), "Unsupported value for field 'severity'.");
  assert.equal(problemOf({ ...minimal, severity: "3" }), "Unsupported value for field 'severity'.");
});

Deno.test("parseEvent() names the field that is missing or of the wrong type", () => {
  assert.equal(problemOf({ eventType: "ALERT", summary: "x" }), "Missing field 'integrationKey'.");
  assert.equal(problemOf({ ...minimal, apiKey: 5 }), "Field 'integrationKey' must be a string.");
  assert.equal(problemOf({ ...minimal, apiKey: " " }), "Field 'integrationKey' must not be empty.");
  assert.equal(problemOf({ apiKey: "k", summary: "x" }), "Missing field 'eventType'.");
  assert.equal(problemOf({ apiKey: "k", eventType: "ALERT" }), "Missing field 'summary'.");
  assert.equal(problemOf({ ...minimal, summary: {} }), "Field 'summary' must be a string.");
  assert.equal(problemOf({ ...minimal, alertKey: 7 }), "Field 'alertKey' must be a string.");
  assert.equal(problemOf({ ...minimal, images: [{}] }), "Field 'images' must be a list of {src, href, alt}.");
  assert.equal(problemOf({ ...minimal, links: "x" }), "Field 'links' must be a list of {href, text}.");
  assert.equal(problemOf({ ...minimal, labels: { a: 1 } }), "Field 'labels' must be an object of strings.");
  assert.equal(
    problemOf({ ...minimal, services: [1] }),
    "Field 'services' must be a list of {id} or {alias}.",
  );
  assert.equal(problemOf([]), "The event must be a JSON object.");
  assert.equal(problemOf(null), "The event must be a JSON object.");
});

Deno.test("parseEvent() refuses U+0000, which SQLite cannot give back, and numbers where objects belong", () => {
  for (const name of ["apiKey", "summary", "alertKey", "details", "routingKey"]) {
    assert.equal(
      problemOf({ ...minimal, [name]: "a\0b" }),
      `Field '${name}' must not contain the character U+0000.`,
    );
  }
  const big = parseJson("12345678901234567890");
  assert.equal(problemOf({ ...minimal, labels: big }), "Field 'labels' must be an object of strings.");
  assert.equal(problemOf(big), "The event must be a JSON object.");
});

Deno.test("parseEvent() takes null for absent, ignores unknown fields and reads an empty alert key as none", () => {
  const parsed = parseEvent({ ...minimal, alertKey: "", priority: null, labels: null, unknown: true });
  assert.ok(parsed.ok);
  assert.equal(parsed.event.alertKey, null);
  assert.deepEqual(JSON.parse(eventBody(parsed.event)), {
    integrationKey: "il1api1",
    eventType: "ALERT",
    summary: "Disk full",
  });
});

Deno.test("eventBody() leaves nulls inside customDetails alone", () => {
  const parsed = parseEvent({ ...minimal, customDetails: { a: null, b: [null] } });
  assert.ok(parsed.ok);
  assert.deepEqual(JSON.parse(eventBody(parsed.event)).customDetails, { a: null, b: [null] });
});

Deno.test("parseEvent() never throws, whatever the JSON", () => {
  fc.assert(fc.property(fc.jsonValue(), (json) => {
    parseEvent(json);
    parseEvent({ ...minimal, customDetails: json, labels: json, images: json, alertKey: json });
  }));
});

Deno.test("parseJson() and JSON.stringify() keep numbers a double cannot hold", () => {
  for (
    const text of [
      '{"id":12345678901234567890}',
      "[1e400]",
      "[0.1234567890123456789]",
      "[-9007199254740993,9007199254740991,1e+21,2.5]",
    ]
  ) {
    assert.equal(JSON.stringify(parseJson(text)), text);
  }
});

Deno.test("parseJson() reads what JSON.parse reads", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    assert.deepEqual(
      JSON.parse(JSON.stringify(parseJson(text))),
      JSON.parse(JSON.stringify(JSON.parse(text))),
    );
  }));
});
