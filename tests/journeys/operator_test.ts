/** `ilagent queue` and `ilagent deadletter`, beside a running and on a stopped agent. */

import assert from "node:assert/strict";
import { AgentProcess, freePort, runAgent } from "../support/agent_process.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";

interface Setting extends AsyncDisposable {
  ilert: IlertEmulator;
  agent: AgentProcess;
  post(event: Record<string, unknown>): Promise<void>;
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  audit(): Promise<Record<string, unknown>>;
}

async function setting(): Promise<Setting> {
  const folder = new TempFolder();
  const ilert = await IlertEmulator.start();
  const file = folder.file("a.db3");
  const agent = AgentProcess.start({
    command: "built",
    args: ["daemon", "-p", `${await freePort()}`, "-f", file, "--host", "127.0.0.1"],
    env: { ILERT_API_HOST: ilert.url },
    cwd: folder.path,
  });
  await agent.ready();
  const run = (...args: string[]) => runAgent([...args, "-f", file], { command: "built" });
  return {
    ilert,
    agent,
    run,
    async post(event) {
      const response = await fetch(`${agent.url}/api/events`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ apiKey: "il1api-operator-key-1", eventType: "ALERT", summary: "s", ...event }),
      });
      await response.body?.cancel();
      assert.equal(response.status, 200);
    },
    audit: async () => JSON.parse((await run("audit", "--json")).stdout),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await ilert[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

Deno.test("a dead letter is listed, shown, retried on the running agent and delivered; the ledger holds throughout", async () => {
  await using all = await setting();
  const { remove } = all.ilert.inject({ kind: "status", status: 404, body: '{"message":"no such key"}' });
  await all.post({ summary: "refused", alertKey: "lane", customDetails: { n: 1 } });
  await all.agent.waitForLine(/dead letter/);
  const listed = await all.run("deadletter", "list", "--status", "404", "--json");
  const [letter] = JSON.parse(listed.stdout);
  assert.equal(letter.status, 404);
  assert.equal(letter.alert_key, "lane");
  assert.equal(
    JSON.parse((await all.run("deadletter", "list", "--status", "400", "--json")).stdout).length,
    0,
  );
  const shown = await all.run("deadletter", "show", letter.id);
  assert.match(shown.stdout, /no such key/);
  assert.match(shown.stdout, /"summary":"refused"/);
  const text = (await all.run("deadletter", "list")).stdout;
  assert.ok(text.includes("ilert answered 404") && !text.includes("il1api-operator-key-1"), text);
  assert.equal((await all.audit()).dead, 1);

  remove();
  const retried = await all.run("deadletter", "retry", letter.id);
  assert.deepEqual([retried.code, retried.stdout], [0, "1 queued again\n"]);
  await all.ilert.waitFor(({ accepted }) => accepted.length === 1, { timeoutMs: 3_000 });
  assert.equal(all.ilert.accepted[0]?.event.summary, "refused");
  await all.agent.stop();
  assert.deepEqual(await all.audit(), {
    accepted: 1,
    delivered: 1,
    purged: 0,
    queued: 0,
    dead: 0,
    unaccounted: 0,
    holds: true,
  });
});

Deno.test("dead letters are purged and queued events dropped only when it is said which, and count as purged", async () => {
  await using all = await setting();
  const { remove } = all.ilert.inject({ kind: "status", status: 400 });
  await all.post({});
  await all.agent.waitForLine(/dead letter/);
  remove();
  await all.ilert.goDown();
  for (const n of [1, 2, 3]) await all.post({ alertKey: "lane", summary: `${n}`, customDetails: { n } });
  await all.post({ apiKey: "il1api-operator-key-2", summary: "other" });

  const unsaid = await all.run("deadletter", "purge");
  assert.equal(unsaid.code, 2);
  assert.match(unsaid.stderr, /needs ids, a filter such as --key or --older_than, or --all/);
  assert.equal((await all.run("deadletter", "purge", "--older_than", "1h")).stdout, "0 purged\n");
  assert.equal((await all.run("deadletter", "purge", "--all")).stdout, "1 purged\n");

  const queued = JSON.parse(
    (await all.run("queue", "list", "--key", "il1api-operator-key-1", "--json")).stdout,
  );
  assert.deepEqual(queued.map(({ summary }: { summary: string }) => summary), ["1", "2", "3"]);
  assert.equal((await all.run("queue", "drop", queued[0].id)).stdout, "1 dropped\n");
  assert.deepEqual(await all.audit(), {
    accepted: 5,
    delivered: 0,
    purged: 2,
    queued: 3,
    dead: 0,
    unaccounted: 0,
    holds: true,
  });
  await all.ilert.comeBack();
  assert.equal((await all.run("queue", "retry", "--all")).code, 0);
  await all.ilert.waitFor(({ accepted }) => accepted.length === 3);
  assert.deepEqual(
    all.ilert.accepted.map(({ event }) => event.summary).filter((summary) => summary !== "other"),
    ["2", "3"],
  );
});

Deno.test("queue and deadletter work on a stopped agent's file and say what is wrong with their arguments", async () => {
  await using all = await setting();
  await all.agent.stop();
  assert.deepEqual((await all.run("queue", "list")).stdout, "No such event is queued.\n");
  const missing = await all.run("deadletter", "show", "nope");
  assert.deepEqual([missing.code, missing.stderr], [
    1,
    "ilagent: 1 of 1 ids were not found or did not match the filter\n",
  ]);
  for (
    const [args, line] of [
      [["queue"], "queue: needs to know what to do: use queue list|show|retry|drop"],
      [["queue", "purge"], "queue: cannot 'purge': use queue list|show|retry|drop"],
      [["deadletter", "list", "x"], "deadletter list: takes filters, not ids; use show for one"],
      [["queue", "list", "--status", "400"], "--status: is not a flag of 'queue', but of deadletter"],
      [
        ["queue", "list", "--older_than", "1"],
        "--older_than: must be a span such as 90s, 15m, 2h or 7d, not '1'",
      ],
    ] as const
  ) {
    const { code, stderr } = await all.run(...args);
    assert.deepEqual([code, stderr], [2, `ilagent: ${line}\n`]);
  }
});
