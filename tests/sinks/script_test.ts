import assert from "node:assert/strict";
import { edgeItem } from "../../src/domain/edge_item.ts";
import type { FromScript, ScriptRun, ScriptSetup, ToScript } from "../../src/jail/script_messages.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { ScriptSink } from "../../src/sinks/script.ts";
import { type SinkUnderTest, testSinkContract } from "../contracts/sink_contract.ts";
import { numberedItem } from "../support/edge_items.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { isAlive, KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";
import { TestScriptWorker } from "../support/script_worker.ts";
import { outcomesOf } from "../support/sink_outcomes.ts";
import { until } from "../support/until.ts";

const LIVE = new AbortController().signal;

function setup(path: string): ScriptSetup {
  return { path, killPath: KILL_PROGRAM, env: {} };
}

async function openScriptSink(): Promise<SinkUnderTest> {
  const folder = new ScriptFolder();
  const path = folder.write("[ -e stall ] && exec sleep 600\ncat >> received\necho >> received");
  const worker = await TestScriptWorker.start(setup(path));
  const sink = new ScriptSink(worker.port, systemClock, memoryLog());
  return {
    sink,
    received: () => folder.text("received").split("\n").slice(0, -1),
    outage: {
      begin: () => Deno.chmod(path, 0o644),
      end: () => Deno.chmod(path, 0o755),
    },
    stall: {
      begin: () => Deno.writeTextFile(folder.file("stall"), ""),
      end: () => Deno.remove(folder.file("stall")),
    },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

testSinkContract("ScriptSink", openScriptSink);

/** The sink with the other end of its channel in the test's hands. */
function connected() {
  const { port1, port2 } = new MessageChannel();
  const clock = new FakeClock();
  const log = memoryLog();
  const asked: ToScript[] = [];
  port2.onmessage = ({ data }: MessageEvent<ToScript>) => asked.push(data);
  const sink = new ScriptSink(port1, clock, log);
  return {
    sink,
    clock,
    log,
    asked,
    answer(id: number, run: Partial<ScriptRun>) {
      const message: FromScript = {
        type: "ended",
        id,
        run: { failure: null, lines: [], droppedBytes: 0, ...run },
      };
      port2.postMessage(message);
    },
    async [Symbol.asyncDispose]() {
      await sink[Symbol.asyncDispose]();
      port2.close();
    },
  };
}

Deno.test("ScriptSink.deliver() asks for a run with the payload and the four values, numbers exact", async () => {
  await using all = connected();
  const delivery = outcomesOf(all.sink, [
    edgeItem("9223372036854775807", {
      eventType: "alert-created",
      id: 100,
      timestamp: "2026-05-04T10:00:00Z",
    }),
  ], LIVE);
  await until(() => all.asked.length === 1, "the run is asked for");
  assert.deepEqual(all.asked, [{
    type: "run",
    id: 1,
    input: {
      body: '{"eventType":"alert-created","id":100,"timestamp":"2026-05-04T10:00:00Z"}',
      eventType: "alert-created",
      alertId: "100",
      itemId: "9223372036854775807",
      timestamp: "2026-05-04T10:00:00Z",
    },
  }]);
  all.answer(1, {});
  assert.deepEqual(await delivery, [{ kind: "delivered" }]);
});

Deno.test("ScriptSink.deliver() logs what the script wrote: at info where it succeeded, at warn where it failed", async () => {
  await using all = connected();
  const first = outcomesOf(all.sink, [numberedItem(1)], LIVE);
  all.answer(1, { lines: ["done {x}"], droppedBytes: 12 });
  await first;
  const second = outcomesOf(all.sink, [numberedItem(2)], LIVE);
  all.answer(2, { failure: "the script ended with exit code 1", lines: ["no such host"] });
  assert.deepEqual(await second, [{ kind: "retry", reason: "the script ended with exit code 1" }]);
  assert.deepEqual(all.log.lines, [
    'info Script, item {item}: {line} {"item":"1","line":"done {x}"}',
    'info Script, item {item}: wrote {bytes} bytes more, which are not shown {"item":"1","bytes":12}',
    'warn Script, item {item}: {line} {"item":"2","line":"no such host"}',
  ]);
});

Deno.test("ScriptSink.deliver() gives a worker up that does not answer, and takes no late answer for another item's", async () => {
  await using all = connected();
  const first = outcomesOf(all.sink, [numberedItem(1)], LIVE);
  await all.clock.advance(39_999);
  assert.deepEqual(all.asked.map(({ type }) => type), ["run"]);
  await all.clock.advance(1);
  assert.deepEqual(await first, [{ kind: "retry", reason: "the script's worker does not answer" }]);
  await until(() => all.asked.length === 2, "the run is to be ended");
  assert.deepEqual(all.asked[1], { type: "end", id: 1 });

  const second = outcomesOf(all.sink, [numberedItem(2)], LIVE);
  all.answer(1, {});
  all.answer(2, { failure: "the script ended with exit code 2" });
  assert.deepEqual(await second, [{ kind: "retry", reason: "the script ended with exit code 2" }]);
});

Deno.test("ScriptSink.deliver() ends the script when its signal is aborted, and waits until that is done", async () => {
  await using all = connected();
  const abort = new AbortController();
  const delivery = outcomesOf(all.sink, [numberedItem(1)], abort.signal);
  await until(() => all.asked.length === 1, "the run is asked for");
  abort.abort();
  await until(() => all.asked.length === 2, "the run is to be ended");
  assert.deepEqual(all.asked[1], { type: "end", id: 1 });
  all.answer(1, { failure: "the script was killed because the agent is shutting down" });
  assert.deepEqual(await delivery, [
    { kind: "retry", reason: "the script was killed because the agent is shutting down" },
  ]);
});

Deno.test("the script's worker runs one script at a time, and ends it when the agent ends", async () => {
  using folder = new ScriptFolder();
  const path = folder.write("sleep 600 & echo $! > child; wait");
  await using worker = await TestScriptWorker.start(setup(path));
  const answers: FromScript[] = [];
  worker.port.onmessage = ({ data }: MessageEvent<FromScript>) => answers.push(data);
  const ask = (id: number) => {
    const input = { body: "{}", eventType: "", alertId: "", itemId: String(id), timestamp: "" };
    worker.port.postMessage({ type: "run", id, input } satisfies ToScript);
  };
  ask(1);
  await until(() => folder.has("child"), "the script runs");
  ask(2);
  await until(() => answers.length === 1, "the second run is refused");
  assert.equal(answers[0]?.id, 2);
  assert.equal(answers[0]?.run.failure, "the run before is not over yet");

  worker.port.postMessage({ type: "end", id: 2 } satisfies ToScript);
  await worker.stop();
  await until(() => answers.length === 2, "the first run is ended");
  assert.equal(answers[1]?.run.failure, "the script was killed because the agent is shutting down");
  assert.equal(await isAlive(folder.pid("child")), false);
  ask(3);
  await until(() => answers.length === 3, "no run comes after the end");
  assert.equal(answers[2]?.run.failure, "the agent is shutting down");
});
