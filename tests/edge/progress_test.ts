import assert from "node:assert/strict";
import { KeptProgress, ReportedProgress } from "../../src/edge/progress.ts";

function reported(progress: ReportedProgress): string | null {
  const query = progress.query();
  return query.kind === "cluster" ? query.lastProcessedId : assert.fail();
}

Deno.test("KeptProgress goes on behind the kept cursor and moves it with each settled item, whatever roles are told", () => {
  const moves: string[] = [];
  const progress = new KeptProgress({ cursor: "17", moveCursor: (id) => moves.push(id) });
  assert.deepEqual(progress.query(), { kind: "single", afterId: "17" });
  progress.hear();
  progress.settled("18");
  progress.settled("20");
  assert.deepEqual([progress.query(), moves, progress.role], [
    { kind: "single", afterId: "20" },
    ["18", "20"],
    null,
  ]);
});

Deno.test("ReportedProgress reports what it has settled as leader", () => {
  const progress = new ReportedProgress({ clusterId: "c", instanceId: "i" });
  assert.deepEqual(progress.query(), {
    kind: "cluster",
    clusterId: "c",
    instanceId: "i",
    lastProcessedId: null,
  });
  progress.hear("leader");
  progress.settled("5", progress.term);
  assert.equal(reported(progress), "5");
  progress.hear("leader");
  assert.equal(reported(progress), "5");
});

Deno.test("ReportedProgress reports nothing after a demotion until it has settled an item of its new term", () => {
  const progress = new ReportedProgress({ clusterId: "c", instanceId: "i" });
  progress.hear("leader");
  const first = progress.term;
  progress.settled("5", first);
  progress.hear("standby");
  assert.equal(reported(progress), null);
  // The item in hand at the demotion.
  progress.settled("6", first);
  assert.equal(reported(progress), null);
  progress.hear("leader");
  assert.equal(reported(progress), null);
  progress.settled("6", first);
  assert.equal(reported(progress), null);
  progress.settled("9", progress.term);
  assert.equal(reported(progress), "9");
});

Deno.test("ReportedProgress takes an answer without a role for that of a leader", () => {
  const progress = new ReportedProgress({ clusterId: "c", instanceId: "i" });
  assert.equal(progress.role, null);
  progress.hear(null);
  assert.equal(progress.role, "leader");
});
