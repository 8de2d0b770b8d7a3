/** `ilagent map`: what a message would become, and why. */

import assert from "node:assert/strict";
import { runAgent } from "../support/agent_process.ts";

const KEY = "il1api-a-key-of-a-test-123";

const DEVICE_FLAGS = [
  ...["--event_key", KEY, "--map_key_etype", "state", "--map_val_etype_alert", "SET"],
  ...["--map_key_alert_key", "mCode", "--label", "site=north", "--map_key_label", "host=data.host"],
];

function map(message: unknown, ...flags: string[]) {
  const stdin = typeof message === "string" ? message : JSON.stringify(message);
  return runAgent(["map", ...flags], { command: "built", stdin });
}

Deno.test("map shows the event with its key masked, and which rule set each field", async () => {
  const message = { apiKey: "il1api-the-messages-own-key", state: "SET", mCode: 5, data: { host: "h1" } };
  const { code, stdout, stderr } = await map(
    message,
    ...["--topic", "plant/a", "-e", "plant/+", "--forward_message_payload"],
    ...DEVICE_FLAGS,
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.ok(!stdout.includes(KEY) && !stdout.includes(message.apiKey), stdout);
  assert.equal(
    stdout,
    `This message would be posted to ilert as an event, to /api/v1/events/mqtt/il1api…123:

{
  "integrationKey": "il1api…123",
  "eventType": "ALERT",
  "summary": "New alert from plant/a",
  "customDetails": {
    "apiKey": "il1api…key",
    "state": "SET",
    "mCode": 5,
    "data": {
      "host": "h1"
    }
  },
  "labels": {
    "host": "h1",
    "site": "north"
  }
}

topic           'plant/+' (--event_topic) takes it
integrationKey  given by --event_key
eventType       'SET' at 'state' (--map_key_etype) means ALERT (--map_val_etype_alert)
summary         made of the topic, because an ALERT needs one and the message has none
customDetails   the whole message (--forward_message_payload)
labels.host     from 'data.host' (--map_key_label)
labels.site     given by --label
warning         alertKey: the value at 'mCode' is not a string
`,
  );
});

Deno.test("map --json prints the same for programs, numbers unchanged", async () => {
  const { code, stdout } = await map(
    '{"apiKey":"il1api-a-key-of-a-test-123","customDetails":{"id":12345678901234567890}}',
    ...["--topic", "t", "--broker", "kafka", "--message_key", "m", "--severity", "2", "--json"],
  );
  assert.equal(code, 0);
  assert.ok(stdout.includes("12345678901234567890"), stdout);
  const { kind, path, event, reasons, warnings } = JSON.parse(stdout);
  assert.deepEqual([kind, path, warnings], ["event", "/api/v1/events/kafka/il1api…123", []]);
  assert.deepEqual([event.severity, event.summary], [2, "New alert from t"]);
  assert.equal(reasons.severity, "given by --severity");
});

Deno.test("map tells heartbeats, policy updates and what a filter drops", async () => {
  const beat = await map({ apiKey: "il1hbt-a-key-of-a-test-123" }, "--topic", "b", "-r", "b");
  assert.match(beat.stdout, /^This message would ping the heartbeat il1hbt…123\.\n/);
  const shift = await map(
    { site: "north", who: "a@example.org", level: "2" },
    ...["--topic", "s/1", "--policy_topic", "s/#", "--policy_routing_keys", "site", "--map_key_email", "who"],
    ...["--map_key_shift", "level", "--shift_offset", "-1"],
  );
  assert.match(shift.stdout, /make "a@example\.org" the user of level 1 .* the routing key "north"\.\n/);
  const dropped = await map(
    { type: "INFO" },
    "--topic",
    "t",
    "--filter_key",
    "type",
    "--filter_val",
    "ALARM",
  );
  assert.match(dropped.stdout, /dropped: its field 'type' is not the text 'ALARM' \(--filter_val\)\.\n/);
  const elsewhere = await map({}, "--topic", "t", "-e", "other");
  assert.match(elsewhere.stdout, /dropped: no configured topic takes messages of "t"\.\n/);
  assert.deepEqual([beat, shift, dropped, elsewhere].map(({ code, stderr }) => [code, stderr]), [
    [0, ""],
    [0, ""],
    [0, ""],
    [0, ""],
  ]);
});

Deno.test("map exits 1 with the reason in one line where the message would be a dead letter", async () => {
  const { code, stdout, stderr } = await map("{}", "--topic", "t");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.equal(stderr, "ilagent: this message would be a dead letter: there is no integration key\n");
  const asJson = await map("not json", "--topic", "t", "--json");
  assert.deepEqual([asJson.code, asJson.stderr, JSON.parse(asJson.stdout).kind], [1, "", "unusable"]);
  const large = await map(" ".repeat(17_000_000), "--topic", "t");
  assert.deepEqual([large.code, large.stderr], [
    1,
    "ilagent: the message on stdin is larger than 16777216 bytes\n",
  ]);
});

Deno.test("map exits 2 for a wrong use", async () => {
  const { code, stderr } = await map("{}");
  assert.equal(code, 2);
  assert.match(stderr, /^ilagent: --topic: is required \([^)]*\); give the flag\n$/);
});
