import assert from "node:assert/strict";
import { NO_ENRICHMENT } from "../support/no_enrichment.ts";
import { eventBody, minimalEvent } from "../../src/domain/event.ts";
import type { MappedMessage } from "../../src/domain/mapping.ts";
import type { MappingConfig } from "../../src/domain/mapping_config.ts";
import { eventOf, mapped, reasonOf } from "../support/mapped_messages.ts";

const DEVICE: Partial<MappingConfig> = {
  integrationKey: "il1api-flag",
  eventTypePath: "state",
  alertKeyPath: "mCode",
  summaryPath: "data.comment",
  eventTypeValues: { ALERT: "SET", ACCEPT: "ACK", RESOLVE: "CLR" },
};

Deno.test("mapMessage() makes an event of the message's own fields", () => {
  const own = {
    integrationKey: "il1api1",
    eventType: "RESOLVE",
    summary: "Resolved",
    alertKey: "a-1",
    details: "Detail text",
    priority: "HIGH",
    severity: 2,
    images: [{ src: "https://x/i.png" }],
    links: [{ href: "https://x", text: "Here" }],
    customDetails: { env: "prod" },
    routingKey: "team",
    labels: { a: "b" },
    services: [{ alias: "db" }],
  };
  const message = mapped({ ...own, unknown: true });
  assert.deepEqual(eventOf(message), own);
  assert.deepEqual(message.warnings, []);
});

Deno.test("mapMessage() needs nothing of a message but its key", () => {
  assert.deepEqual(eventOf(mapped({ apiKey: "il1api1" })), {
    ...minimalEvent("il1api1", "ALERT", "New alert from events/a"),
    customDetails: { topic: "events/a" },
  });
  const nulls = { apiKey: "il1api1", eventType: null, summary: null, alertKey: null, customDetails: null };
  assert.deepEqual(eventOf(mapped({ ...nulls, images: null })), eventOf(mapped({ apiKey: "il1api1" })));
});

Deno.test("mapMessage() gives the path of the broker's kind, with the key percent-encoded", () => {
  const path = (message: MappedMessage) => message.kind === "event" && message.apiPath;
  assert.equal(path(mapped({ apiKey: "il1api1" })), "/v1/events/mqtt/il1api1");
  assert.equal(
    path(mapped({ apiKey: "il1api1" }, {}, { topic: "events/#", broker: "kafka" })),
    "/v1/events/kafka/il1api1",
  );
  assert.equal(path(mapped({ apiKey: "a/../b?c#d é" })), "/v1/events/mqtt/a%2F..%2Fb%3Fc%23d%20%C3%A9");
});

Deno.test("mapMessage() puts --event_key in place of any key of the message", () => {
  const message = mapped({ apiKey: "own", integrationKey: "own" }, { integrationKey: "il1api-flag" });
  assert.equal(eventOf(message).integrationKey, "il1api-flag");
  assert.equal(message.kind === "event" && message.apiPath, "/v1/events/mqtt/il1api-flag");
  assert.equal(
    eventOf(mapped({ apiKey: 5 }, { integrationKey: "il1api-flag" })).integrationKey,
    "il1api-flag",
  );
});

Deno.test("mapMessage() cannot use a message without a usable key", () => {
  const table: [key: unknown, reason: string][] = [
    [undefined, "there is no integration key"],
    [null, "there is no integration key"],
    [5, "the integration key is not a string"],
    ["", "the integration key is empty"],
    [" ", "the integration key is empty"],
    ["a\0b", "the integration key cannot be part of a URL"],
    ["..", "the integration key cannot be part of a URL"],
    [".", "the integration key cannot be part of a URL"],
  ];
  for (const [apiKey, reason] of table) {
    assert.equal(reasonOf(mapped({ apiKey })), reason);
    assert.equal(reasonOf(mapped({ apiKey }, {}, { topic: "beats" })), reason);
  }
  assert.equal(reasonOf(mapped('{"apiKey":"\\ud800"}')), "the integration key cannot be part of a URL");
});

Deno.test("mapMessage() lets mapped paths win over the message's own fields", () => {
  const { eventType, alertKey, summary } = eventOf(mapped({
    ...{ eventType: "ALERT", alertKey: "own", summary: "own" },
    ...{ state: "COMMENT", mCode: "M-100", data: { comment: "Pump failure" } },
  }, DEVICE));
  assert.deepEqual([eventType, alertKey, summary], ["COMMENT", "M-100", "Pump failure"]);
});

Deno.test("mapMessage() keeps the message's own fields where a mapped path leads nowhere", () => {
  for (const nowhere of [{}, { state: null, mCode: null, data: null }, { data: [] }, { data: "x" }]) {
    const own = { eventType: "RESOLVE", alertKey: "own", summary: "own" };
    const message = mapped({ ...own, ...nowhere }, DEVICE);
    const { eventType, alertKey, summary } = eventOf(message);
    assert.deepEqual({ eventType, alertKey, summary }, own);
    assert.deepEqual(message.warnings, []);
  }
});

Deno.test("mapMessage() ignores a mapped value that is not a string, with a warning", () => {
  for (const wrong of [5, true, {}, [], 12345678901234567890n]) {
    const value = typeof wrong === "bigint" ? String(wrong) : JSON.stringify(wrong);
    const message = mapped(
      `{"summary":"own","alertKey":"own","state":${value},"mCode":${value},"data":{"comment":${value}}}`,
      DEVICE,
    );
    const { eventType, alertKey, summary } = eventOf(message);
    assert.deepEqual([eventType, alertKey, summary], ["ALERT", "own", "own"]);
    assert.deepEqual(message.warnings, [
      "eventType: the value at 'state' is not a string",
      "alertKey: the value at 'mCode' is not a string",
      "summary: the value at 'data.comment' is not a string",
    ]);
  }
});

Deno.test("mapMessage() compares the mapped event type with the values that stand for a type", () => {
  const type = (state: unknown, config = DEVICE) => eventOf(mapped({ state }, config)).eventType;
  assert.equal(type("SET"), "ALERT");
  assert.equal(type("ACK"), "ACCEPT");
  assert.equal(type("CLR"), "RESOLVE");
  assert.equal(type("COMMENT"), "COMMENT");
  assert.equal(type("RESOLVE"), "RESOLVE");
  assert.equal(type(undefined), "ALERT");
  const twice = { ...DEVICE, eventTypeValues: { ALERT: "1", ACCEPT: "1", RESOLVE: "0" } };
  assert.equal(type("1", twice), "ACCEPT");
  assert.equal(
    type("ALERT", { ...DEVICE, eventTypeValues: { ALERT: null, ACCEPT: null, RESOLVE: "ALERT" } }),
    "RESOLVE",
  );
});

Deno.test("mapMessage() applies the values of event types to mapped ones only", () => {
  const config = { ...DEVICE, eventTypePath: null };
  assert.equal(eventOf(mapped({ eventType: "ALERT", state: "CLR" }, config)).eventType, "ALERT");
  assert.match(
    reasonOf(mapped({ eventType: "CLR" }, config)),
    /^the event type "CLR" is none of ALERT, ACCEPT/,
  );
});

Deno.test("mapMessage() cannot use an event type that ilert does not know", () => {
  assert.equal(
    reasonOf(mapped({ state: "UNKNOWN" }, DEVICE)),
    'the event type "UNKNOWN" is none of ALERT, ACCEPT, RESOLVE, COMMENT, ' +
      "nor a value of --map_val_etype_alert, _accept or _resolve",
  );
  assert.equal(reasonOf(mapped({ eventType: "x".repeat(5_000) }, DEVICE)).length < 300, true);
  assert.equal(reasonOf(mapped({ apiKey: "k", eventType: 5 })), "Field 'eventType' must be a string.");
  assert.equal(eventOf(mapped({ eventType: 5, state: "SET" }, DEVICE)).eventType, "ALERT");
});

Deno.test("mapMessage() makes a summary for an ALERT that has none, and for no other type", () => {
  const summary = (fields: object) => eventOf(mapped({ apiKey: "k", ...fields })).summary;
  assert.equal(summary({}), "New alert from events/a");
  assert.equal(summary({ eventType: "ALERT" }), "New alert from events/a");
  assert.equal(summary({ summary: " " }), "New alert from events/a");
  assert.equal(summary({ eventType: "RESOLVE" }), "");
  assert.equal(summary({ eventType: "ACCEPT", summary: "ok" }), "ok");
  assert.equal(
    eventOf(mapped({ summary: "own", data: { comment: "" } }, DEVICE)).summary,
    "New alert from events/a",
  );
});

Deno.test("mapMessage() fills customDetails with the own ones, the whole message, or where it came from", () => {
  const details = (
    fields: object,
    config: Partial<MappingConfig>,
    broker: "mqtt" | "kafka",
    key: string | null,
  ) => eventOf(mapped({ apiKey: "k", ...fields }, config, { topic: "events/#", broker, key })).customDetails;
  const forward = { forwardPayload: true };
  const payload = { apiKey: "k", extra: { n: 42 } };
  assert.deepEqual(details({}, {}, "mqtt", null), { topic: "events/#" });
  assert.deepEqual(details({}, {}, "kafka", "m-1"), { messageKey: "m-1", topic: "events/#" });
  assert.deepEqual(details({}, {}, "kafka", null), { messageKey: "", topic: "events/#" });
  assert.deepEqual(details(payload, forward, "mqtt", null), payload);
  assert.deepEqual(details(payload, forward, "kafka", "m-1"), payload);
  assert.deepEqual(details({ customDetails: { own: 1 } }, forward, "kafka", "m-1"), { own: 1 });
  assert.deepEqual(details({ customDetails: {} }, {}, "mqtt", null), {});
});

Deno.test("mapMessage() takes the last of fields with the same name, and integrationKey before apiKey", () => {
  assert.equal(eventOf(mapped('{"apiKey":"k","summary":"a","summary":"b"}')).summary, "b");
  assert.equal(eventOf(mapped({ apiKey: "a", integrationKey: "b" })).integrationKey, "b");
});

Deno.test("mapMessage() cannot use a message whose own fields have the wrong shape", () => {
  const table: [fields: object, reason: string][] = [
    [{ summary: 5 }, "Field 'summary' must be a string."],
    [{ alertKey: 42 }, "Field 'alertKey' must be a string."],
    [{ details: {} }, "Field 'details' must be a string."],
    [{ priority: "P1" }, "Unsupported value for field 'priority'."],
    [{ images: [{ href: "x" }] }, "Field 'images' must be a list of {src, href, alt}."],
    [{ links: {} }, "Field 'links' must be a list of {href, text}."],
    [{ summary: "a\0b" }, "Field 'summary' must not contain the character U+0000."],
    [{ alertKey: "a\0b" }, "Field 'alertKey' must not contain the character U+0000."],
    [{ details: "a\0b" }, "Field 'details' must not contain the character U+0000."],
  ];
  for (const [fields, reason] of table) assert.equal(reasonOf(mapped({ apiKey: "k", ...fields })), reason);
});

Deno.test("mapMessage() asks nothing of an own field that a mapped one replaces", () => {
  const { summary, alertKey } = eventOf(
    mapped({ summary: 5, alertKey: {}, mCode: "M-1", data: { comment: "x" } }, DEVICE),
  );
  assert.deepEqual([summary, alertKey], ["x", "M-1"]);
});

Deno.test("mapMessage() leaves out what it cannot use of fields that the agent before it did not know", () => {
  const fields = { severity: "high", routingKey: 5, labels: { port: 80 }, services: ["db"] };
  const message = mapped({ apiKey: "k", ...fields });
  const { severity, routingKey, labels, services } = eventOf(message);
  assert.deepEqual([severity, routingKey, labels, services], [null, null, null, null]);
  assert.deepEqual(message.warnings, [
    "severity: left out. Unsupported value for field 'severity'.",
    "routingKey: left out. Field 'routingKey' must be a string.",
    "labels: left out. Field 'labels' must be an object of strings.",
    "services: left out. Field 'services' must be a list of {id} or {alias}.",
  ]);
});

Deno.test("mapMessage() enriches the event after mapping it", () => {
  const enrichment = {
    ...NO_ENRICHMENT,
    labels: { site: "flag" },
    labelPaths: { site: "s", host: "data.host" },
    severity: 4,
    severityPath: "sev",
    routingKeyPath: "team",
    services: [{ id: 7 }],
  };
  const own = { apiKey: "k", labels: { site: "own", a: "own" }, data: { host: "h" }, s: "mapped" };
  const { labels, severity, routingKey, services } = eventOf(
    mapped({ ...own, sev: "2", team: "night" }, { enrichment }),
  );
  assert.deepEqual(labels, { site: "flag", host: "h", a: "own" });
  assert.deepEqual([severity, routingKey, services], [2, "night", [{ id: 7 }]]);
  const message = mapped({ ...own, severity: 1, sev: 9, team: "a\0b" }, { enrichment });
  assert.deepEqual([eventOf(message).severity, eventOf(message).routingKey], [1, null]);
  assert.equal(message.warnings.length, 2);
});

Deno.test("mapMessage() writes numbers back exactly as they came", () => {
  const text = '{"apiKey":"k","id":12345678901234567890,"pi":3.14159265358979323846,"e":1e400}';
  const body = eventBody(eventOf(mapped(text, { forwardPayload: true })));
  assert.ok(body.includes(`"customDetails":${text}`), body);
});
