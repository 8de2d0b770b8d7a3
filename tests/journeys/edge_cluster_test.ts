/** Edge connectors in a cluster: the built file, several times, against an emulated ilert that elects a leader. */

import assert from "node:assert/strict";
import { edgePayloads, edgeProcesses, readiness } from "../support/edge_processes.ts";
import { until } from "../support/until.ts";

Deno.test("in a cluster one agent delivers; when it is killed the other goes on within a standby interval of its promotion", async () => {
  await using all = await edgeProcesses({ leaderSilenceMs: 6_000 });
  const member = (id: string) => [
    ...all.http,
    ...["--edge_cluster_id", "prod-cluster", "--edge_instance_id", id],
    ...["--edge_poll_interval", "5", "--edge_standby_interval", "5s"],
  ];
  all.ilert.edge.add(...edgePayloads(1, 3));
  const first = await all.start(member("node-1"), { file: "1.db3" });
  await until(() => all.target.taken.length === 3, "the leader delivers");
  const second = await all.start(member("node-2"), { file: "2.db3" });
  await until(async () => (await readiness(second)).status === 204, "the standby is ready");
  await all.ilert.waitFor(({ edge }) => edge.state().clusters["prod-cluster"]?.processed === "3");
  await first.kill();
  all.ilert.edge.add(...edgePayloads(4, 3));
  await until(() => all.target.taken.length === 6, "the other one delivers", 20_000);
  assert.deepEqual(all.target.numbers, [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(all.ilert.edge.state().clusters["prod-cluster"]?.leaders, ["node-1", "node-2"]);

  const again = await all.start(member("node-1"), { file: "1.db3" });
  await until(async () => (await readiness(again)).status === 204, "the first one is a standby");
  await until(async () => {
    const text = await (await fetch(`${again.url}/metrics`)).text();
    return text.includes('ilagent_edge_role{role="standby"} 1');
  }, "its metrics say so");
  assert.equal(all.target.arrived.length, 6);
  const polls = all.ilert.requests.filter(({ path }) => path.includes("instance-id=node-1"));
  assert.ok(polls.every(({ path }) => !path.includes("after-id")));
  assert.equal(all.ilert.edge.state().staleReports, 0);
});

Deno.test("SIGTERM lets a leader finish the item in hand; the next leader repeats what was not reported, in order", async () => {
  await using all = await edgeProcesses({ leaderSilenceMs: 2_000 });
  const member = (
    id: string,
  ) => [...all.http, "--edge_cluster_id", "c", "--edge_instance_id", id, "--edge_standby_interval", "5"];
  all.ilert.edge.add(...edgePayloads(1, 4));
  all.target.hang();
  const first = await all.start(["-vv", ...member("a")], { file: "1.db3", port: false });
  await until(() => all.target.arrived.length === 1, "the first item is in hand");
  const stopped = first.stop();
  await first.waitForLine(/Shutting down/);
  all.target.finishHanging(200);
  assert.equal(await stopped, 0);
  assert.deepEqual(all.target.numbers, [1]);
  all.target.answer = () => 200;
  await all.start(member("b"), { file: "2.db3", port: false });
  await until(() => all.target.numbers.at(-1) === 4, "the next leader delivers", 20_000);
  assert.deepEqual(all.target.numbers, [1, 1, 2, 3, 4]);
});

Deno.test("a leader that stood still finishes the item in hand, drops the rest and takes nothing back from the next leader", async () => {
  await using all = await edgeProcesses({ leaderSilenceMs: 6_000 });
  const member = (id: string) => [
    ...all.http,
    ...["--edge_cluster_id", "c", "--edge_instance_id", id, "--edge_poll_interval", "5"],
    ...["--edge_standby_interval", "5"],
  ];
  all.ilert.edge.add(...edgePayloads(1, 5));
  let isHeld = false;
  all.target.answer = async ({ headers }) => {
    // The second item is under way when the leader is stopped.
    if (headers.get("x-ilert-edge-item-id") !== "2" || isHeld) return 200;
    isHeld = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return 200;
  };
  const first = await all.start(member("a"), { file: "1.db3", port: false });
  await until(() => isHeld, "the second item is in hand");
  first.signal("SIGSTOP");
  await all.start(member("b"), { file: "2.db3", port: false });
  // Nothing was reported before the stop, so all comes again, in order.
  await until(() => all.target.numbers.at(-1) === 5, "the other one delivers all", 30_000);
  all.ilert.edge.add(...edgePayloads(6, 2));
  await until(() => all.target.numbers.at(-1) === 7, "and what came meanwhile", 30_000);
  const before = all.target.arrived.length;
  first.signal("SIGCONT");
  // It reports what it did, as it cannot know better, until ilert has told it; then it waits for its interval.
  await first.waitForLine(/This agent is the standby now/);
  const polls = all.ilert.counts.requests;
  const next = () => all.ilert.requests.slice(polls).find(({ path }) => path.includes("instance-id=a"));
  await until(() => next() !== undefined, "it polls as standby");
  assert.doesNotMatch(next()?.path ?? "", /last-processed-id/);
  assert.deepEqual(all.target.numbers, [1, 2, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(all.target.arrived.length, before);
  assert.equal(all.ilert.edge.state().staleReports, 0);
});
