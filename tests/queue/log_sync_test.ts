import assert from "node:assert/strict";
import { LogSync } from "../../src/queue/log_sync.ts";

Deno.test("LogSync.request() resolves with a sync that began after it, one for all that were asked for meanwhile", async () => {
  const ends: (() => void)[] = [];
  const log = new LogSync(() => new Promise((resolve) => ends.push(resolve)));
  const resolved: string[] = [];
  const request = (name: string) => log.request().then(() => resolved.push(name));
  const all = [request("first"), request("second"), request("third")];
  assert.equal(ends.length, 1);
  ends[0]?.();
  await all[0];
  assert.deepEqual([resolved, ends.length], [["first"], 2]);
  all.push(request("fourth"));
  ends[1]?.();
  await all[2];
  assert.deepEqual([resolved, ends.length], [["first", "second", "third"], 3]);
  ends[2]?.();
  await all[3];
  const last = request("last");
  assert.equal(ends.length, 4);
  ends[3]?.();
  await last;
});
