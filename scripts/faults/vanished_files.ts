/**
 * The database taken away, or replaced, under a running agent. The kernel keeps the file alive for whoever has it open,
 * so that writes into it go well and are lost with the process: the intake has to notice by looking.
 */

import assert from "node:assert/strict";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { until } from "../../tests/support/until.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

/** Within which the intake must be closed; it cannot look before every event. */
const NOTICED_MS_MAX = 2_000;
const EVENTS = 10;

interface Way {
  way: string;
  vanish: (file: string) => void;
}

const WAYS: readonly Way[] = [
  {
    way: "deleted",
    vanish(file) {
      for (const path of [file, `${file}-wal`, `${file}-shm`]) Deno.removeSync(path);
    },
  },
  { way: "moved", vanish: (file) => Deno.renameSync(file, `${file}.away`) },
  {
    way: "replaced",
    vanish(file) {
      Deno.copyFileSync(file, `${file}.copy`);
      Deno.renameSync(`${file}.copy`, file);
    },
  },
  { way: "log_deleted", vanish: (file) => Deno.removeSync(`${file}-wal`) },
];

export async function tryVanishedFiles(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command } = circumstances;
  for (const { way, vanish } of WAYS) {
    using folder = new TempFolder();
    await using ilert = await IlertEmulator.start();
    await using agent = await AgentRuns.of({
      command,
      file: folder.file("ilagent.db3"),
      ilertUrl: ilert.url,
    });
    await ilert.goDown();
    await agent.start();
    const post = (n: number) => agent.postedStatus(alert(n, n));
    const checked = "the intake closes within 2 s: nothing is acknowledged into the void";
    await findings.attempt(`disk.${way}`, checked, async () => {
      for (let n = 1; n <= EVENTS; n++) assert.equal(await post(n), 200);
      vanish(agent.file);
      let n = EVENTS;
      const isClosed = async () => await post(++n) !== 200;
      await until(isClosed, "a refusal", NOTICED_MS_MAX)
        .catch(() => assert.fail(`${n - EVENTS} events were acknowledged in the 2 s after`));
      findings.value(`disk.${way}.acknowledged_after`, n - EVENTS - 1, "events");
      assert.equal(await post(n), 503);
      assert.equal(await agent.status("/ready"), 503);
    });
    await findings.attempt(
      `disk.${way}.delivery`,
      "what was acknowledged before still goes out",
      async () => {
        await ilert.comeBack();
        await ilert.waitFor(({ acceptedCount }) => acceptedCount >= EVENTS);
      },
    );
    await agent.kill();
  }
}
