/** Anything a sender could send, to a real agent: every 200 is one event, everything else is none, and it lives on. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AgentRuns } from "../../scripts/faults/agent_runs.ts";
import { type AgentCommand } from "../support/agent_process.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

/** The largest body the agent takes, and a little more. */
const BODY_BYTES_NEAR_MAX = 15_900, BODY_BYTES_BEYOND_MAX = 16_100;
const ANSWERS: ReadonlySet<number> = new Set([200, 400, 413, 415]);
/** Of the cases: connections that do not speak HTTP, or speak it badly. */
const RAW_SHARE = 0.1;
const DRAIN_MS_MAX = 120_000;

interface Sending {
  body: Uint8Array<ArrayBuffer>;
  contentType: string | null;
}

const encoder = new TextEncoder();

const anyValue = fc.oneof(fc.jsonValue(), fc.string({ unit: "binary" }));

/** Nearly an event: any field may be missing or of any kind. */
const nearlyEvent = fc.record({
  apiKey: mostly(fc.string({ minLength: 1, unit: "binary" })),
  integrationKey: fc.option(mostly(fc.constantFrom("il1api-fuzz", "é", " ")), { nil: undefined }),
  eventType: mostly(fc.constantFrom("ALERT", "ACCEPT", "RESOLVE", "COMMENT", "alert")),
  summary: mostly(fc.string({ unit: "binary", minLength: 1 })),
  alertKey: mostly(fc.oneof(fc.constantFrom("a", "b", null), fc.string({ unit: "binary" }))),
  priority: mostly(fc.constantFrom("HIGH", "LOW", null)),
  severity: mostly(fc.constantFrom(1, 5, null, 6)),
  details: mostly(fc.string({ unit: "binary" })),
  images: mostly(fc.constantFrom(null, [{ src: "https://x/y.png" }])),
  links: mostly(fc.constantFrom(null, [{ href: "https://x", text: "t" }])),
  labels: mostly(fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 })),
  services: mostly(fc.constantFrom(null, [{ id: 1 }], [{ alias: "a" }])),
  routingKey: mostly(fc.string()),
  customDetails: mostly(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 })),
}, { requiredKeys: ["apiKey", "eventType", "summary"] });

const body: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.oneof(
  { weight: 10, arbitrary: nearlyEvent.map((event) => encoder.encode(JSON.stringify(event))) },
  { weight: 3, arbitrary: fc.json().map((text) => encoder.encode(text)) },
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)) },
  { weight: 3, arbitrary: fc.tuple(nearlyEvent, fc.nat(200), fc.uint8Array({ maxLength: 4 })).map(spoiled) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: BODY_BYTES_NEAR_MAX, max: BODY_BYTES_BEYOND_MAX }).map(eventOfSize),
  },
);

const sending: fc.Arbitrary<Sending> = fc.record({
  body,
  contentType: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom("application/json", null) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("text/plain", "application/json; charset=x", "a/b+json", ";", ""),
    },
  ),
});

const rawBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
  fc.tuple(fc.constantFrom("-1", "99999999999", "5", "x", "1e3"), fc.uint8Array({ maxLength: 3 })).map(
    ([length, bytes]) => {
      const head = encoder.encode(
        `POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`,
      );
      return new Uint8Array([...head, ...bytes]);
    },
  ),
  fc.string({ unit: "binary" }).map((text) => encoder.encode(`GET /api/heartbeats/${text} HTTP/1.1\r\n\r\n`)),
);

/** Throws with the seed and the shortest counterexample. */
export async function fuzzIntake(command: AgentCommand, cases: number, seed: number): Promise<void> {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start({ record: "counts" });
  const file = folder.file("ilagent.db3");
  await using agent = await AgentRuns.of({ command, file, ilertUrl: ilert.url });
  await agent.start();
  let stored = 0;
  const property = fc.asyncProperty(sending, async ({ body, contentType }) => {
    const response = await fetch(`${agent.url}/api/events`, {
      method: "POST",
      body,
      headers: contentType === null ? {} : { "content-type": contentType },
    });
    const text = await response.text();
    if (response.status === 200) stored++;
    assert.ok(ANSWERS.has(response.status), `answered ${response.status}: ${text}`);
    const answer = JSON.parse(text);
    if (response.status !== 200) return assert.equal(typeof answer.error, "string", text);
    assert.match(String(answer.id), /./);
    assert.equal(answer.summary, JSON.parse(new TextDecoder().decode(body)).summary);
  });
  await fc.assert(property, { numRuns: cases, seed });
  await fc.assert(fc.asyncProperty(rawBytes, (bytes) => sendRaw(agent.port, bytes)), {
    numRuns: Math.ceil(cases * RAW_SHARE),
    seed,
  });

  assert.equal(await agent.status("/health"), 204, "the agent is not healthy after it");
  await until(async () => (await agent.audit()).queued === 0, "all of it is settled", DRAIN_MS_MAX);
  assert.equal(await agent.current.stop(), 0);
  const { accepted, delivered, dead, holds } = await agent.audit();
  assert.ok(holds, "the ledger does not hold");
  assert.equal(accepted, stored, "events in the file beside those answered 200");
  assert.equal(delivered, ilert.acceptedCount, "events noted as delivered beside those that arrived");
  assert.equal(delivered + dead, stored);
}

async function sendRaw(port: number, bytes: Uint8Array): Promise<void> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  // The agent may have seen enough, and closed, before all is written.
  await connection.write(bytes).catch(() => {});
}

function mostly<T>(usual: fc.Arbitrary<T>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 30, arbitrary: usual }, { weight: 1, arbitrary: anyValue });
}

function spoiled(
  [event, at, bytes]: [Record<string, unknown>, number, Uint8Array],
): Uint8Array<ArrayBuffer> {
  const text = encoder.encode(JSON.stringify(event));
  const split = at % text.length;
  return new Uint8Array([...text.slice(0, split), ...bytes, ...text.slice(split + bytes.length)]);
}

function eventOfSize(size: number): Uint8Array<ArrayBuffer> {
  const event = { apiKey: "il1api-fuzz", eventType: "ALERT", summary: "s", details: "" };
  const room = size - JSON.stringify(event).length;
  return encoder.encode(JSON.stringify({ ...event, details: "x".repeat(room) }));
}
