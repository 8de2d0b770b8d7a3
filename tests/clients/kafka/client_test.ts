import assert from "node:assert/strict";
import { KafkaClient } from "../../../src/clients/kafka/client.ts";
import { freePort } from "../../support/agent_process.ts";
import { memoryLog } from "../../support/memory_log.ts";

/** kafkajs gives up after five. */
const CLOSED_WITHIN_MS = 1_000;

// kafkajs' own attempts outlast the test.
Deno.test("KafkaClient waits for no answer once it is closed", {
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  const connection = { brokers: [`127.0.0.1:${await freePort()}`], tls: null, sasl: null };
  const client = await KafkaClient.open(connection, { log: memoryLog(), onBrokerRefused: () => {} });
  const answer = client.existing(["alerts"]);
  const since = performance.now();
  client[Symbol.dispose]();
  await assert.rejects(answer, /the client is closed/);
  assert.ok(performance.now() - since < CLOSED_WITHIN_MS);
});
