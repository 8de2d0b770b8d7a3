import assert from "node:assert/strict";
import { edgePayload } from "./edge_items.ts";
import { EdgeDesk } from "./ilert_edge.ts";
import { send, statusOf } from "./ilert_emulator_client.ts";
import { IlertEmulator } from "./ilert_emulator.ts";
import { until } from "./until.ts";

const PATH = "/api/edge-connections/events";

function ids(desk: EdgeDesk, query: string): unknown[] {
  const answer = desk.poll(new URLSearchParams(query), "key");
  assert.equal(answer.status, 200, answer.body ?? "");
  return JSON.parse(answer.body ?? "").items.map(({ id }: { id: unknown }) => id);
}

function role(desk: EdgeDesk, instance: string, report?: number): string {
  const query = `cluster-id=c&instance-id=${instance}${report ? `&last-processed-id=${report}` : ""}`;
  return JSON.parse(desk.poll(new URLSearchParams(query), "key").body ?? "").role;
}

Deno.test("EdgeDesk hands out the items after an id, as many as asked for", () => {
  const desk = new EdgeDesk({});
  desk.fill(250);
  assert.deepEqual(ids(desk, "limit=2"), [1, 2]);
  assert.deepEqual(ids(desk, "limit=100&after-id=248"), [249, 250]);
  assert.equal(ids(desk, "after-id=100").length, 100);
  assert.equal(desk.poll(new URLSearchParams("limit=101"), "key").status, 400);
  assert.equal(desk.poll(new URLSearchParams("after-id=x"), "key").status, 400);
});

Deno.test("EdgeDesk keeps the order of odd ids, and items without one behind those before them", () => {
  const desk = new EdgeDesk({});
  for (const id of [5, 3, "x", 7]) desk.addItem({ id, payload: {} });
  assert.deepEqual(ids(desk, ""), [5, 3, "x", 7]);
  assert.deepEqual(ids(desk, "after-id=3"), [5, "x", 7]);
  assert.deepEqual(ids(desk, "after-id=5"), ["x", 7]);
  assert.deepEqual(ids(desk, "after-id=7"), []);
});

Deno.test("EdgeDesk lets one member of a cluster lead, and promotes another after a silence", async () => {
  const desk = new EdgeDesk({ leaderSilenceMs: 20 });
  desk.add(edgePayload(1), edgePayload(2));
  assert.deepEqual([role(desk, "a"), role(desk, "b"), role(desk, "a", 1)], ["leader", "standby", "leader"]);
  assert.deepEqual(ids(desk, "cluster-id=c&instance-id=a"), [2]);
  await until(() => role(desk, "b") === "leader", "b leads");
  assert.equal(role(desk, "a"), "standby");
  assert.deepEqual(desk.state().clusters.c, { leader: "b", leaders: ["a", "b"], processed: "1" });
});

Deno.test("EdgeDesk counts a report of what came before another leader", () => {
  const desk = new EdgeDesk({});
  desk.fill(9);
  role(desk, "a", 3);
  desk.appoint("c", "b");
  role(desk, "b", 8);
  desk.appoint("c", "a");
  assert.equal(desk.state().staleReports, 0);
  role(desk, "a", 3);
  assert.equal(desk.state().staleReports, 1);
});

Deno.test("IlertEmulator answers 401 to edge polls without the key", async () => {
  await using ilert = await IlertEmulator.start({ edgeKey: "right" });
  assert.equal(await statusOf(send(ilert, "GET", PATH)), 401);
  assert.equal(await statusOf(send(ilert, "GET", PATH, null, { authorization: "wrong" })), 401);
  assert.equal(await statusOf(send(ilert, "GET", PATH, null, { authorization: "right" })), 200);
});

Deno.test("The control API adds edge items, shows them and appoints a leader", async () => {
  await using ilert = await IlertEmulator.start();
  const post = (path: string, body: unknown) =>
    send(ilert, "POST", `/_emulator/${path}`, JSON.stringify(body)).then((answer) => answer.json());
  assert.equal((await post("edge", { count: 3 })).items, 3);
  assert.equal((await post("edge", { payloads: [edgePayload(4)] })).items, 4);
  assert.equal((await post("edge", { items: [{ id: "x" }, null] })).items, 6);
  assert.match((await post("edge", { count: -1 })).message, /must be \{count\}/);
  assert.equal((await post("edge/leader?cluster=c&instance=i", null)).clusters.c.leader, "i");
  assert.equal((await (await send(ilert, "GET", "/_emulator/edge")).json()).items, 6);
});
