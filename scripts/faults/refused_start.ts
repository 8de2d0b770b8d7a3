/** An agent that should not start, or should: both are answers, as long as they are clear. */

import assert from "node:assert/strict";
import type { AgentProcess } from "../../tests/support/agent_process.ts";
import type { AgentRuns } from "./agent_runs.ts";

/** Beyond the five seconds for which the agent may wait for a lock. */
const START_MS_MAX = 15_000;

/**
 * The one line with which the start was refused; null where the agent is up. Throws where it ended in any other way
 * than the contract's: 1 or 2, one line on stderr, nothing on stdout.
 */
export async function refusedStart(
  agent: AgentRuns,
  wrapped?: (program: readonly string[]) => readonly string[],
): Promise<string | null> {
  const run = agent.spawn(wrapped);
  const isUp = run.ready(START_MS_MAX).then(() => true, () => false);
  if (await isUp) return null;
  return await lineOfEnd(run);
}

async function lineOfEnd(run: AgentProcess): Promise<string> {
  const overdue = Symbol();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof overdue>((resolve) => timer = setTimeout(() => resolve(overdue), 1_000));
  const status = await Promise.race([run.exit, late]);
  clearTimeout(timer);
  if (status === overdue) throw new Error("the agent neither starts nor ends");
  const { code, signal } = status as Deno.CommandStatus;
  const said = run.stderrLines.join(" | ");
  assert.ok(code === 1 || code === 2, `exit code ${code}, signal ${signal}: ${said}`);
  assert.equal(run.stderrLines.length, 1, `not one line: ${said}`);
  assert.deepEqual(run.stdoutLines, []);
  assert.doesNotMatch(said, /^\s+at |Uncaught/, "a stack trace is no clear answer");
  return said;
}
