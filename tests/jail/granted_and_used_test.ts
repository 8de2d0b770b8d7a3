/** The built agent does its work under Deno's audit of permissions: what it is granted and never uses is not to be granted. */

import assert from "node:assert/strict";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";
import { WebhookTarget } from "../support/webhook_target.ts";

const CONNECTOR_KEY = "iec1-audited-key";
const RIGHTS = ["net", "read", "write"] as const;

interface Audited {
  /** Of the daemon, without the file. */
  flags: string[];
  env: Record<string, string>;
  /** One journey that takes all its rights. */
  use: () => Promise<void>;
}

/** `right: what` of all that the daemon is granted and has not used. */
async function unused({ flags, env, use }: Audited): Promise<string[]> {
  using folder = new TempFolder();
  const report = folder.file("audit.jsonl");
  const args = [...flags, "-f", folder.file("a.db3")];
  const { stdout } = await runAgent(["permissions", ...args, "--json"], { command: "built", env });
  const granted: Record<string, string[]> = JSON.parse(stdout);
  {
    await using agent = AgentProcess.start({
      command: "built",
      args: ["daemon", ...args],
      env: { ...env, DENO_AUDIT_PERMISSIONS: report },
    });
    if (flags.includes("-p")) await agent.ready();
    await use();
    assert.equal(await agent.stop(), 0);
  }
  const used = new Set(
    Deno.readTextFileSync(report).trim().split("\n").map((line) => JSON.parse(line))
      .map(({ permission, value }) => `${permission}: ${addressOf(value)}`),
  );
  return RIGHTS.flatMap((right) => (granted[right] ?? []).map((what) => `${right}: ${what}`))
    .filter((right) => !used.has(right));
}

/** What is fetched is reported as a URL. */
function addressOf(value: string | null): string | null {
  return value !== null && /^https?:/.test(value) ? new URL(value).host : value;
}

Deno.test("a relay with HTTP and a heartbeat uses each right that it is granted", async () => {
  await using ilert = await IlertEmulator.start();
  await using beats = await IlertEmulator.start();
  const port = await freePort();
  const rest = await unused({
    flags: ["-p", `${port}`, "--host", "127.0.0.1", "-b", "some-key"],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: beats.url },
    async use() {
      const answer = await fetch(`http://127.0.0.1:${port}/api/events`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ apiKey: "il1api-audited", eventType: "ALERT", summary: "s" }),
      });
      await answer.body?.cancel();
      await until(() => ilert.requests.length > 0 && beats.requests.length > 0, "both hosts are reached");
    },
  });
  assert.deepEqual(rest, []);
});

Deno.test("an edge connector to an HTTP target uses each right that it is granted", async () => {
  await using ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY });
  await using target = await WebhookTarget.start();
  ilert.edge.add(edgePayload(1));
  const rest = await unused({
    flags: ["--edge_mode", "http", "--edge_http_url", target.url],
    env: { ILERT_API_HOST: ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    use: () => until(() => target.taken.length === 1, "the target has the item"),
  });
  assert.deepEqual(rest, []);
});
