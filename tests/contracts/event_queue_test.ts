import { DirectQueue } from "../../src/queue/direct_queue.ts";
import { SqliteQueue } from "../../src/queue/sqlite_queue.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { ROOMY } from "../support/queue_limits.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { testEventQueue } from "./event_queue.ts";

testEventQueue("SqliteQueue", () => {
  const folder = new TempFolder();
  const clock = new FakeClock();
  const queue = SqliteQueue.open(folder.file("a.db3"), ROOMY, clock);
  return {
    queue,
    clock,
    add: async (event, apiPath) => void await queue.enqueue(event, apiPath),
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
});

testEventQueue("DirectQueue", () => {
  const clock = new FakeClock();
  const queue = new DirectQueue({ bury: () => Promise.resolve() }, clock);
  const { signal } = new AbortController();
  return {
    queue,
    clock,
    add(event, apiPath) {
      void queue.deliver(event, apiPath, "topic", signal);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]() {
      queue[Symbol.dispose]();
      return Promise.resolve();
    },
  };
});
