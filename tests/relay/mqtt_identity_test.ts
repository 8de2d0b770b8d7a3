import assert from "node:assert/strict";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { clientIdOf, rememberedTopics } from "../../src/relay/mqtt_identity.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

function open(folder: TempFolder, name: string): SqliteQueue {
  return SqliteQueue.open(folder.file(name), ROOMY, new FakeClock());
}

Deno.test("clientIdOf() is made once for each file, and short enough for every broker", async () => {
  using folder = new TempFolder();
  const ids: string[] = [];
  for (const name of ["a.db3", "a.db3", "b.db3"]) {
    await using queue = open(folder, name);
    ids.push(clientIdOf(queue.values), clientIdOf(queue.values));
  }
  const [first, again, restarted, , other] = ids;
  assert.deepEqual([again, restarted], [first, first]);
  assert.notEqual(other, first);
  assert.match(first ?? "", /^ilagent-[0-9a-f]{12}$/);
});

Deno.test("rememberedTopics() gives back after a restart what was saved last", async () => {
  using folder = new TempFolder();
  const log = memoryLog();
  {
    await using queue = open(folder, "a.db3");
    const topics = rememberedTopics(queue.values, log);
    assert.deepEqual(topics.load(), []);
    topics.save(["a", "b/#"]);
    topics.save(["b/#", "$share/g/c"]);
  }
  await using queue = open(folder, "a.db3");
  assert.deepEqual(rememberedTopics(queue.values, log).load(), ["b/#", "$share/g/c"]);
});

Deno.test("rememberedTopics() goes on with a warning where the file takes no writes or holds something else", () => {
  const log = memoryLog();
  const refusing = {
    get: () => '{"not":"a list"}',
    set: () => {
      throw new Error("disk full");
    },
  };
  const topics = rememberedTopics(refusing, log);
  assert.deepEqual(topics.load(), []);
  topics.save(["a"]);
  assert.match(log.lines.join(), /could not be remembered.*disk full/);
});
