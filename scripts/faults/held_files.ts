/** A file that somebody else holds: another agent, or a process in the middle of a transaction. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { IlertEmulator } from "../../tests/support/ilert_emulator.ts";
import { TempFolder } from "../../tests/support/temp_folder.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { AgentRuns, alert } from "./agent_runs.ts";
import type { Findings } from "./findings.ts";
import { refusedStart } from "./refused_start.ts";
import type { Circumstances } from "./scenario.ts";

/** Shorter and longer than the agent may wait for a lock. */
const LOCKED_MS_SHORT = 2_000, LOCKED_MS_LONG = 30_000;
const SENDERS = 20;
const ANSWER_AFTER_RELEASE_MS_MAX = 6_000;

export async function tryHeldFiles(circumstances: Circumstances, findings: Findings): Promise<void> {
  const { command, isLong } = circumstances;
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  const options = { command, file: folder.file("ilagent.db3"), ilertUrl: ilert.url };
  await using agent = await AgentRuns.of(options);
  await agent.start();

  await findings.attempt(
    "disk.held.agent",
    "a second agent is refused by name, the first goes on",
    async () => {
      await using second = await AgentRuns.of(options);
      const line = await refusedStart(second);
      assert.match(line ?? "it starts", /in use by another .*-f/);
      assert.equal(await agent.postedStatus(alert(1, 1)), 200);
      await ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
    },
  );
  await tryLocked(agent, ilert, isLong ? LOCKED_MS_LONG : LOCKED_MS_SHORT, findings);
  await agent.kill();
  await findings.attempt(
    "disk.held.start",
    "a start into another's transaction waits or is refused in one line",
    async () => {
      {
        using database = new DatabaseSync(options.file);
        database.exec("BEGIN EXCLUSIVE");
        const line = await refusedStart(agent);
        if (line !== null) assert.match(line, /locked|busy/);
        await agent.kill();
        database.exec("ROLLBACK");
      }
      await agent.start();
      assert.equal(await agent.postedStatus(alert(99, 1)), 200);
      assert.ok((await agent.audit()).holds);
    },
  );
}

async function tryLocked(agent: AgentRuns, ilert: IlertEmulator, lockedMs: number, findings: Findings) {
  const checked = `another process's transaction of ${
    lockedMs / 1000
  } s delays or refuses (503), and loses nothing`;
  await findings.attempt("disk.held.locked", checked, async () => {
    using database = new DatabaseSync(agent.file);
    database.exec("BEGIN EXCLUSIVE");
    const startedAt = performance.now();
    const answers = Promise.all(
      Array.from({ length: SENDERS }, (_, sender) => agent.postedStatus(alert(10 + sender, sender))),
    );
    const health = agent.status("/health").catch(() => null)
      .then((status) => ({ status, ms: performance.now() - startedAt }));
    await sleep(lockedMs, []);
    database.exec("ROLLBACK");
    const releasedAt = performance.now();
    const statuses = await answers;
    const answeredMs = performance.now() - releasedAt;
    const { status, ms } = await health;
    findings.value("disk.held.health", ms, "ms", { value: lockedMs, name: "the time it was locked" });
    assert.equal(status, 204);
    assert.ok(
      statuses.every((answer) => answer === 200 || answer === 503),
      `the intake answered ${statuses.join(", ")} and the agent says: ${agent.current.lines.at(-1)}`,
    );
    const acknowledged = statuses.filter((answer) => answer === 200).length;
    assert.ok(
      answeredMs < ANSWER_AFTER_RELEASE_MS_MAX,
      `the last answer came ${Math.round(answeredMs)} ms after`,
    );
    assert.equal(await agent.postedStatus(alert(50, 1)), 200);
    await ilert.waitFor(({ acceptedCount }) => acceptedCount === 1 + acknowledged + 1);
    assert.ok((await agent.audit()).holds);
  });
}
