/**
 * Tests with real brokers, which they start through `scripts/services/`, and with tools. Where one is not installed such
 * a test is skipped, with the reason in its name; with REQUIRE_SERVICES=1, as in `.ci/run`, it fails.
 *
 *     brokerTest("MqttSource …", { needs: ["mosquitto"] }, async () => {
 *       await using broker = await startMosquitto();
 */

import { findGoTool, type GoTool } from "../../scripts/services/go_tools.ts";
import { findKafka } from "../../scripts/services/kafka_jars.ts";
import { findMosquitto } from "../../scripts/services/mosquitto_package.ts";

export type Service = "mosquitto" | "kafka";
/** Some come with `deno task services install`, the others with a system that has them at all. */
export type Tool = GoTool | "systemd-analyze" | "dpkg" | "setpriv";

export type Outlook = { kind: "run" } | { kind: "skip"; reason: string } | { kind: "fail"; reason: string };

const FINDERS: Readonly<Record<Service | GoTool, () => unknown>> = {
  mosquitto: findMosquitto,
  kafka: findKafka,
  actionlint: () => findGoTool("actionlint"),
  nfpm: () => findGoTool("nfpm"),
};

export interface BrokerTestOptions {
  needs: readonly Service[];
  /** False where a client library is left in the midst of something, and gives up by itself a little later. */
  sanitizeOps?: boolean;
}

export function brokerTest(
  name: string,
  { needs, sanitizeOps = true }: BrokerTestOptions,
  run: (test: Deno.TestContext) => Promise<void>,
): void {
  const missing = needs.filter((service) => FINDERS[service]() === null);
  register(name, outlookOf(missing, areRequired()), run, sanitizeOps);
}

/** What only Linux has, or only root may, is skipped elsewhere, required or not. */
export function toolTest(
  name: string,
  { needs, asRoot = false }: { needs: readonly Tool[]; asRoot?: boolean },
  run: (test: Deno.TestContext) => Promise<void>,
): void {
  register(name, toolOutlook(needs, asRoot), run);
}

function toolOutlook(needs: readonly Tool[], asRoot: boolean): Outlook {
  const fetched = needs.filter((tool) => tool in FINDERS) as GoTool[];
  const found = needs.filter((tool) => !(tool in FINDERS));
  if (found.length > 0 && Deno.build.os !== "linux") return { kind: "skip", reason: "needs Linux" };
  if (asRoot && Deno.uid() !== 0) return { kind: "skip", reason: "needs root" };
  const absent = found.filter((tool) => !runs(tool));
  if (absent.length > 0) {
    return {
      kind: areRequired() ? "fail" : "skip",
      reason: `this machine has no ${absent.join(" and no ")}`,
    };
  }
  return outlookOf(fetched.filter((tool) => FINDERS[tool]() === null), areRequired());
}

function runs(tool: string): boolean {
  try {
    return new Deno.Command(tool, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}

function areRequired(): boolean {
  return Deno.env.get("REQUIRE_SERVICES") === "1";
}

function register(
  name: string,
  outlook: Outlook,
  run: (test: Deno.TestContext) => Promise<void>,
  sanitizeOps = true,
): void {
  switch (outlook.kind) {
    case "run":
      return Deno.test({ name, fn: run, sanitizeOps, sanitizeResources: sanitizeOps });
    case "skip":
      return Deno.test({ name: `${name} [skipped: ${outlook.reason}]`, ignore: true, fn: run });
    case "fail":
      return Deno.test(name, () => {
        throw new Error(outlook.reason);
      });
  }
}

export function outlookOf(missing: readonly (Service | GoTool)[], areRequired: boolean): Outlook {
  if (missing.length === 0) return { kind: "run" };
  const reason = `${missing.join(" and ")} not installed: deno task services install`;
  return { kind: areRequired ? "fail" : "skip", reason };
}
