import assert from "node:assert/strict";
import { tryConsumers } from "../../scripts/faults/consumers.ts";
import { Findings } from "../../scripts/faults/findings.ts";
import { brokerTest } from "../support/services.ts";

brokerTest(
  "whatever is killed, cut, stalled or poisoned between a broker and ilert, no message is lost and lanes keep their order",
  { needs: ["mosquitto", "kafka"] },
  async () => {
    const findings = new Findings();
    const seed = Math.floor(Math.random() * 0x7fffffff);
    await tryConsumers({ command: "built", seed, cycles: null, isLong: false }, findings);
    assert.deepEqual(findings.failures, [], `seed ${seed}`);
  },
);
