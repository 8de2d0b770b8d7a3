import assert from "node:assert/strict";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { rememberedTopics } from "../../src/relay/remembered_topics.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";

function open(folder: TempFolder, name: string): SqliteQueue {
  return SqliteQueue.open(folder.file(name), ROOMY, new FakeClock());
}

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
