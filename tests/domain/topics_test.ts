import assert from "node:assert/strict";
import fc from "fast-check";
import type { TopicPatterns } from "../../src/domain/mapping_config.ts";
import { filterFlaw, matchesFilter, routeOf } from "../../src/domain/topics.ts";

Deno.test("matchesFilter() follows the examples of MQTT 5, section 4.7", () => {
  const table: [filter: string, topic: string, matches: boolean][] = [
    ["sport/tennis/player1/#", "sport/tennis/player1", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/ranking", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
    ["sport/tennis/player1/#", "sport/tennis/player2", false],
    ["sport/#", "sport", true],
    ["#", "sport/tennis", true],
    ["#", "/finance", true],
    ["sport/tennis/+", "sport/tennis/player1", true],
    ["sport/tennis/+", "sport/tennis/player1/ranking", false],
    ["sport/+", "sport", false],
    ["sport/+", "sport/", true],
    ["+", "sport", true],
    ["+", "/finance", false],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+/tennis/#", "sport/tennis/x/y", true],
    ["sport", "Sport", false],
    ["sport", "sport/", false],
  ];
  for (const [filter, topic, matches] of table) {
    assert.equal(matchesFilter(filter, topic), matches, `${filter} and ${topic}`);
  }
});

Deno.test("matchesFilter() keeps wildcards in the first level from the broker's own topics", () => {
  for (const filter of ["#", "+/monitor/Clients", "+/#"]) {
    assert.equal(matchesFilter(filter, "$SYS/monitor/Clients"), false, filter);
  }
  for (const filter of ["$SYS/#", "$SYS/monitor/+", "$SYS/+/Clients"]) {
    assert.equal(matchesFilter(filter, "$SYS/monitor/Clients"), true, filter);
  }
});

Deno.test("matchesFilter() reads a shared subscription as the filter it shares", () => {
  assert.equal(matchesFilter("$share/group/plant/+", "plant/a"), true);
  assert.equal(matchesFilter("$share/group/plant/+", "group/plant/a"), false);
  assert.equal(matchesFilter("$share/group/#", "$SYS/x"), false);
});

const level = fc.stringMatching(/^[a-c ü$.*?\\]{0,3}$/);
const topic = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));
const filter = fc.tuple(
  fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 4 }),
  fc.boolean(),
).map(([levels, takesRest]) => (takesRest ? [...levels, "#"] : ["a", ...levels]).join("/"));

Deno.test("matchesFilter() agrees with a regular expression made of the filter", () => {
  fc.assert(fc.property(filter, topic, (filter, topic) => {
    const expression = filter.split("/").map((part) => part.replace(/[.*?\\$]/g, "\\$&"))
      .join("/").replaceAll("+", "[^/]*").replace(/^#$/, ".*").replace(/\/#$/, "(/.*)?");
    const isOwn = topic.startsWith("$") && /^[+#]/.test(filter);
    assert.equal(matchesFilter(filter, topic), !isOwn && new RegExp(`^${expression}$`, "s").test(topic));
  }));
});

Deno.test("matchesFilter() takes a topic whatever levels of its filter are put as wildcards", () => {
  const wild = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 });
  fc.assert(fc.property(topic, wild, fc.nat(5), (topic, wild, cut) => {
    fc.pre(!topic.startsWith("$"));
    const levels = topic.split("/").map((part, index) => wild[index] ? "+" : part);
    assert.equal(matchesFilter(levels.join("/"), topic), true);
    assert.equal(matchesFilter([...levels.slice(0, cut), "#"].join("/"), topic), true);
    assert.equal(matchesFilter([...levels, "x"].join("/"), topic), false);
  }));
});

Deno.test("routeOf() asks the exact heartbeat topic, policies, events and heartbeat patterns, in this order", () => {
  const all: TopicPatterns = { event: "plant/#", heartbeat: "plant/beat", policy: "plant/+" };
  const role = (topic: string, patterns = all) => routeOf(topic, patterns, "mqtt")?.role ?? null;
  assert.equal(role("plant/beat"), "heartbeat");
  assert.equal(role("plant/other"), "policy");
  assert.equal(role("plant/a/b"), "event");
  assert.equal(role("elsewhere"), null);
  assert.equal(role("plant/beat", { ...all, heartbeat: "plant/#" }), "policy");
  assert.equal(role("plant/a/b", { ...all, heartbeat: "plant/#" }), "event");
  assert.equal(role("beats/a", { ...all, heartbeat: "beats/+" }), "heartbeat");
  assert.equal(role("beats/a", { event: null, policy: null, heartbeat: "beats/+" }), "heartbeat");
  assert.deepEqual(routeOf("plant/a/b", all, "mqtt"), { role: "event", pattern: "plant/#" });
});

Deno.test("routeOf() takes the topics of Kafka as they are written", () => {
  const patterns = { event: "events.#", heartbeat: "+", policy: "$share/g/p" };
  assert.equal(routeOf("events.#", patterns, "kafka")?.role, "event");
  assert.equal(routeOf("$share/g/p", patterns, "kafka")?.role, "policy");
  assert.equal(routeOf("p", patterns, "kafka"), null);
  assert.equal(routeOf("anything", patterns, "kafka"), null);
});

Deno.test("filterFlaw() takes every filter of MQTT 5, section 4.7, and says what is wrong with others", () => {
  for (
    const filter of ["a", "/", "/a", "a//b", "+", "#", "a/#", "a/+/b", "+/+/#", "$SYS/#", "$share/g/a/+/#"]
  ) {
    assert.equal(filterFlaw(filter), null, filter);
  }
  const table: [filter: string, flaw: RegExp][] = [
    ["a/#/b", /^# .* must be the last level/],
    ["a#", /^# .* alone/],
    ["#/a", /^# /],
    ["a/#b", /^# /],
    ["a+", /^\+ .* alone between slashes/],
    ["a/+b/c", /^\+ /],
    ["$share/g/a/#/b", /^# /],
    ["", /^it is empty/],
    ["$share/g/", /^it is empty/],
    ["a\0b", /NUL/],
    ["ä".repeat(32_768), /at most 65535 bytes/],
  ];
  for (const [filter, flaw] of table) assert.match(filterFlaw(filter) ?? "none", flaw, filter.slice(0, 20));
});
