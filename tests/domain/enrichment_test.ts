import assert from "node:assert/strict";
import { enrich } from "../../src/domain/enrichment.ts";
import { NO_ENRICHMENT } from "../support/no_enrichment.ts";
import { anEvent } from "../support/events.ts";

Deno.test("enrich() lets --label win over mapped labels, and those over the event's own", () => {
  const { event } = enrich(
    anEvent({ labels: { a: "own", b: "own", c: "own" } }),
    { data: { b: "mapped", a: "mapped" } },
    { ...NO_ENRICHMENT, labels: { a: "flag" }, labelPaths: { a: "data.a", b: "data.b" } },
  );
  assert.deepEqual(event.labels, { a: "flag", b: "mapped", c: "own" });
});

Deno.test("enrich() gives --severity only to events that carry none", () => {
  const flags = { ...NO_ENRICHMENT, severity: 4 };
  assert.equal(enrich(anEvent(), {}, flags).event.severity, 4);
  assert.equal(enrich(anEvent({ severity: 1 }), {}, flags).event.severity, 1);
});

Deno.test("enrich() maps a severity given as number or text and drops one out of range with a warning", () => {
  const flags = { ...NO_ENRICHMENT, severityPath: "s", severity: 5 };
  assert.equal(enrich(anEvent({ severity: 1 }), { s: "2" }, flags).event.severity, 2);
  assert.equal(enrich(anEvent({ severity: 1 }), { s: 3 }, flags).event.severity, 3);
  for (const s of [0, 6, "x", "", 1.5, true, {}]) {
    const { event, warnings } = enrich(anEvent({ severity: 1 }), { s }, flags);
    assert.equal(event.severity, 1);
    assert.equal(warnings.length, 1, JSON.stringify(s));
  }
  assert.deepEqual(enrich(anEvent(), {}, flags), { event: anEvent({ severity: 5 }), warnings: [] });
});

Deno.test("enrich() ignores a mapped value that is not a string, with a warning, and keeps the event", () => {
  const flags = { ...NO_ENRICHMENT, routingKeyPath: "r", labelPaths: { host: "h" } };
  const { event, warnings } = enrich(anEvent({ routingKey: "own" }), { r: 5, h: {} }, flags);
  assert.equal(event.routingKey, "own");
  assert.equal(event.labels, null);
  assert.deepEqual(warnings, [
    "label host: the value at 'h' is not a string",
    "routingKey: the value at 'r' is not a string",
  ]);
});

Deno.test("enrich() follows own properties only", () => {
  const flags = { ...NO_ENRICHMENT, routingKeyPath: "constructor.name" };
  assert.equal(enrich(anEvent(), {}, flags).event.routingKey, null);
});

Deno.test("enrich() adds services that the event does not name yet", () => {
  const flags = { ...NO_ENRICHMENT, services: [{ alias: "db" }, { id: 5 }] };
  const { event } = enrich(anEvent({ services: [{ alias: "db" }, { id: 6 }] }), {}, flags);
  assert.deepEqual(event.services, [{ alias: "db" }, { id: 6 }, { id: 5 }]);
});
