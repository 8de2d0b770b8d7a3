/**
 * Tests with real brokers, which they start through `scripts/services/`. Where a broker is not installed such a test is
 * skipped, with the reason in its name; with REQUIRE_SERVICES=1, as in `.ci/run`, it fails.
 *
 *     brokerTest("MqttSource …", { needs: ["mosquitto"] }, async () => {
 *       await using broker = await startMosquitto();
 */

import { findKafka } from "../../scripts/services/kafka_jars.ts";
import { findMosquitto } from "../../scripts/services/mosquitto_package.ts";

export type Service = "mosquitto" | "kafka";

export type Outlook = { kind: "run" } | { kind: "skip"; reason: string } | { kind: "fail"; reason: string };

const FINDERS: Readonly<Record<Service, () => unknown>> = { mosquitto: findMosquitto, kafka: findKafka };

export function brokerTest(
  name: string,
  { needs }: { needs: readonly Service[] },
  run: (test: Deno.TestContext) => Promise<void>,
): void {
  const missing = needs.filter((service) => FINDERS[service]() === null);
  const outlook = outlookOf(missing, Deno.env.get("REQUIRE_SERVICES") === "1");
  switch (outlook.kind) {
    case "run":
      return Deno.test(name, run);
    case "skip":
      return Deno.test({ name: `${name} [skipped: ${outlook.reason}]`, ignore: true, fn: run });
    case "fail":
      return Deno.test(name, () => {
        throw new Error(outlook.reason);
      });
  }
}

export function outlookOf(missing: readonly Service[], areRequired: boolean): Outlook {
  if (missing.length === 0) return { kind: "run" };
  const reason = `${missing.join(" and ")} not installed: deno task services install`;
  return { kind: areRequired ? "fail" : "skip", reason };
}
