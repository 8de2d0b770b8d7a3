/** Out of file descriptors, by connections that do nothing, and back. */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

const DESCRIPTORS_MAX = 100, CONNECTIONS = 150;
const QUEUED = 200, LANES = 20, AFTER = 10;
/** So that deliveries are under way all the time. */
const DELAY_MS = 100, CONCURRENCY = 4;
const PROBE_MS_MAX = 1_500, RECOVERY_MS_MAX = 10_000, DELIVERY_MS_MAX = 30_000;

export async function tryDescriptors({ command }: Circumstances, findings: Findings): Promise<void> {
  if (Deno.build.os === "windows") return findings.skip("descriptors", "Windows has no such limit");
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  ilert.inject({ kind: "delay", ms: DELAY_MS });
  const flags = ["--delivery_concurrency", `${CONCURRENCY}`];
  await using agent = await AgentRuns.of({
    command,
    file: folder.file("ilagent.db3"),
    ilertUrl: ilert.url,
    flags,
  });
  const limited = ["sh", "-c", `ulimit -n ${DESCRIPTORS_MAX}; exec "$0" "$@"`];
  await agent.spawn((program) => [...limited, ...program]).ready();
  for (let n = 1; n <= QUEUED; n++) assert.equal(await agent.postedStatus(alert(n, n % LANES)), 200);

  const held = await hold(agent.port);
  await findings.attempt("descriptors.deliveries", "they go on while no connection can be had", async () => {
    assert.ok(!await isReachable(agent.url), "the agent still answers: the limit was not reached");
    const before = ilert.acceptedCount;
    await ilert.waitFor(({ acceptedCount }) => acceptedCount >= Math.min(QUEUED, before + CONCURRENCY));
  });
  for (const connection of held) connection.close();
  await findings.attempt(
    "descriptors.recovery",
    "once they are released it answers again, and all arrive",
    async () => {
      const releasedAt = performance.now();
      await until(() => isReachable(agent.url), "the agent answers", RECOVERY_MS_MAX);
      findings.value("descriptors.recovery_time", performance.now() - releasedAt, "ms");
      for (let n = 1; n <= AFTER; n++) {
        assert.equal(await agent.postedStatus(alert(QUEUED + n, n % LANES)), 200);
      }
      await ilert.waitFor(({ acceptedCount }) => acceptedCount >= QUEUED + AFTER, {
        timeoutMs: DELIVERY_MS_MAX,
      });
      assert.equal(await agent.current.stop(), 0);
      const { holds, queued, dead } = await agent.audit();
      assert.deepEqual({ holds, queued, dead }, { holds: true, queued: 0, dead: 0 });
      assert.deepEqual([ilert.duplicates, ilert.orderViolations], [0, []]);
    },
  );
}

async function hold(port: number): Promise<Deno.TcpConn[]> {
  const held: Deno.TcpConn[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    if (connection !== null) held.push(connection);
  }
  return held;
}

/** Over a connection of its own: one that is kept alive tells nothing about new ones. */
async function isReachable(url: string): Promise<boolean> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    const response = await fetch(`${url}/health`, { client, signal: AbortSignal.timeout(PROBE_MS_MAX) });
    await response.body?.cancel();
    return response.status === 204;
  } catch {
    return false;
  }
}
