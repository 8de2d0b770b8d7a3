import assert from "node:assert/strict";
import { agentIdOf } from "../../src/queue/agent_id.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";

import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

function open(folder: TempFolder, name: string): SqliteQueue {
  return SqliteQueue.open(folder.file(name), ROOMY, new FakeClock());
}

Deno.test("agentIdOf() is made once for each file, and short enough for every broker", async () => {
  using folder = new TempFolder();
  const ids: string[] = [];
  for (const name of ["a.db3", "a.db3", "b.db3"]) {
    await using queue = open(folder, name);
    ids.push(agentIdOf(queue.values), agentIdOf(queue.values));
  }
  const [first, again, restarted, , other] = ids;
  assert.deepEqual([again, restarted], [first, first]);
  assert.notEqual(other, first);
  assert.match(first ?? "", /^ilagent-[0-9a-f]{12}$/);
});
