/** The edge connector as its users run it: the built file against an emulated ilert and real targets. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { BUILT } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { createRustDatabase, insertRustEvent } from "../support/rust_database.ts";
import { CONNECTOR_KEY, edgePayloads, edgeProcesses, readiness } from "../support/edge_processes.ts";
import { until } from "../support/until.ts";

function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first + at);
}

Deno.test("the page's quick start delivers over HTTP, and its health and readiness answer 204", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(...edgePayloads(1, 3));
  const agent = await all.start(["-v", "-v", ...all.http]);
  await until(() => all.target.taken.length === 3, "the target has three");
  assert.deepEqual(all.target.numbers, [1, 2, 3]);
  const [first] = all.target.taken;
  assert.equal(first?.method, "POST");
  assert.equal(first.body, JSON.stringify(edgePayload(1)));
  assert.equal(first.headers.get("x-ilert-edge-item-id"), "1");
  await until(async () => (await readiness(agent)).status === 204, "the agent is ready");
  const poll = all.ilert.requests[0];
  assert.equal(poll?.path, "/api/edge-connections/events?limit=100&after-id=0");
  assert.equal(poll?.headers.authorization, CONNECTOR_KEY);
  assert.ok(agent.lines.every((line) => !line.includes(CONNECTOR_KEY)));
  assert.equal(await agent.stop(), 0);
});

Deno.test("the page's methods and auth headers are used, with the value from the variable or the flag", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(edgePayload(1));
  const agent = await all.start(
    [...all.http, "--edge_http_method", "PUT", "--edge_http_auth_header", "Authorization"],
    { env: { ILERT_EDGE_HTTP_AUTH_VALUE: "Bearer my-secret-token" }, port: false },
  );
  await until(() => all.target.taken.length === 1, "the target has one");
  assert.equal(all.target.taken[0]?.method, "PUT");
  assert.equal(all.target.taken[0]?.headers.get("authorization"), "Bearer my-secret-token");
  assert.equal(await agent.stop(), 0);

  all.ilert.edge.add(edgePayload(2));
  await all.start([
    ...all.http,
    "--edge_http_auth_header",
    "X-API-Key",
    "--edge_http_auth_value",
    "another-secret",
  ], { port: false });
  await until(() => all.target.taken.length === 2, "the target has two");
  assert.equal(all.target.taken[1]?.headers.get("x-api-key"), "another-secret");
});

Deno.test("the page's stdout mode prints one JSON line per item, and nothing else", async () => {
  await using all = await edgeProcesses();
  const text = '{"eventType":"alert-created","id":"100","summary":"Server down","status":"PENDING",' +
    '"timestamp":"2026-05-04T10:00:00.000Z"}';
  all.ilert.edge.addItem(`{"id":1,"payload":${text}}`);
  all.ilert.edge.add(...edgePayloads(2, 250));
  const agent = await all.start(["-vvv", "--edge_mode", "stdout"]);
  await until(() => agent.stdoutLines.length === 251, "all lines are there");
  assert.equal(agent.stdoutLines[0], text);
  assert.deepEqual(agent.stdoutLines.slice(1).map((line) => JSON.parse(line).n), numbers(2, 250));
  assert.equal(await agent.stop(), 0);
  assert.equal(agent.stdoutLines.length, 251);
});

Deno.test("stdout mode ends with 0 when its reader closes the pipe, and a restart prints what it has not read", async () => {
  await using all = await edgeProcesses();
  // Far more than a pipe holds, for a reader that takes a little and leaves.
  for (const n of numbers(1, 100)) all.ilert.edge.add({ ...edgePayload(n), details: "x".repeat(5_000) });
  const child = new Deno.Command(BUILT, {
    args: ["daemon", "--edge_mode", "stdout", "-f", all.folder.file("a.db3")],
    env: { ILERT_API_HOST: all.ilert.url, ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value: read } = await reader.read();
  const lines = new TextDecoder().decode(read).split("\n").length - 1;
  await reader.cancel();
  const { code } = await child.status;
  const log = await new Response(child.stderr).text();
  assert.equal(code, 0, log);
  assert.doesNotMatch(log, /ERROR/);
  const again = await all.start(["--edge_mode", "stdout"], { port: false });
  const printed = () => again.stdoutLines.map((line) => JSON.parse(line).n);
  await until(() => printed().at(-1) === 100, "all is printed");
  const first = printed()[0];
  assert.ok(first <= lines + 1, `${first} comes after ${lines}`);
  assert.deepEqual(printed(), numbers(first, 101 - first));
});

Deno.test("a wrong key shows in readiness in ilert's words, and the agent goes on trying", async () => {
  await using all = await edgeProcesses();
  const agent = await all.start(all.http, { env: { ILERT_EDGE_CONNECTOR_KEY: "iec1-wrong-key-0001" } });
  const error = "authentication failed — check integration key";
  await until(async () => {
    const { body } = await readiness(agent);
    return (body as { error?: string } | null)?.error === error;
  }, "the readiness says so");
  assert.deepEqual(await readiness(agent), {
    status: 503,
    body: { component: "edge_connector", polling: false, error },
  });
  await all.ilert.waitFor(({ requests }) => requests.length >= 2);
  assert.ok(agent.lines.every((line) => !line.includes("iec1-wrong-key-0001")));
});

Deno.test("the agent is not ready before its first poll is answered", async () => {
  await using all = await edgeProcesses();
  all.ilert.inject({ kind: "hang", on: "edge" });
  const agent = await all.start(all.http);
  assert.deepEqual(await readiness(agent), {
    status: 503,
    body: { component: "edge_connector", polling: false, error: "no successful poll yet" },
  });
  all.ilert.clearFaults();
  await until(async () => (await readiness(agent)).status === 204, "the agent is ready");
});

Deno.test("answers that are malformed or far too large move nothing, and what they hid is delivered", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(edgePayload(1));
  all.ilert.inject({ kind: "status", status: 200, body: '{"items":{"id":9}}', on: "edge", times: 1 });
  const agent = await all.start(all.http);
  await agent.waitForLine(/malformed: it has no list 'items'/);
  all.ilert.inject({ kind: "largeBody", bytes: 50_000_000, on: "edge", times: 1 });
  await agent.waitForLine(/is larger than 16777216 bytes/);
  await until(() => all.target.taken.length === 1, "the item is delivered", 30_000);
  assert.equal(all.ilert.requests.at(-1)?.path.endsWith("after-id=0"), true);
});

Deno.test("a restarted agent goes on at its cursor, after SIGTERM with nothing twice, after SIGKILL with one batch at most", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.fill(150);
  const first = await all.start(all.http);
  await until(() => all.target.taken.length === 150, "all are there");
  assert.equal(await first.stop(), 0);
  all.ilert.edge.fill(250);
  const second = await all.start(all.http);
  await until(() => all.target.taken.length >= 250, "a part is there");
  await second.kill();
  await all.start(all.http);
  await until(() => all.target.numbers.at(-1) === 400, "the rest is there");
  assert.deepEqual([...new Set(all.target.numbers)], numbers(1, 400));
  const repeated = all.target.numbers.length - 400;
  assert.ok(repeated <= 100, `${repeated} were delivered twice`);
});

Deno.test("an outage of the target stops deliveries, shows in readiness, and loses and reorders nothing", async () => {
  await using all = await edgeProcesses();
  await all.target.goDown();
  all.ilert.edge.add(...edgePayloads(1, 5));
  const agent = await all.start([...all.http, "--edge_poll_interval", "5s"]);
  await agent.waitForLine(/Deliveries stopped: the target cannot be reached/);
  const { status, body } = await readiness(agent);
  assert.equal(status, 503);
  assert.match(JSON.stringify(body), /"polling":true,"error":"the target cannot be reached: /);
  all.target.comeBack();
  let refusals = 3;
  all.target.answer = ({ headers }) =>
    headers.get("x-ilert-edge-item-id") === "3" && refusals-- > 1 ? (refusals === 2 ? 429 : 503) : 200;
  await until(() => all.target.taken.length === 5, "all are delivered", 40_000);
  assert.deepEqual(all.target.numbers, [1, 2, 3, 4, 5]);
  assert.equal(all.target.arrived.length, 7);
  await until(async () => (await readiness(agent)).status === 204, "the agent is ready");
});

Deno.test("what the target refuses is skipped into the dead letters, and delivered again on an operator's word", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(...edgePayloads(1, 4));
  all.target.answer = ({ headers }) => {
    const id = headers.get("x-ilert-edge-item-id");
    return id === "2" ? new Response("no such hook", { status: 404 }) : id === "3" ? 422 : 200;
  };
  const agent = await all.start(all.http);
  await until(() => all.target.taken.length === 2, "the others are delivered");
  await agent.waitForLine(/Item 3 was skipped/);
  let metrics = "";
  // The target has its item before the agent has the target's answer.
  await until(async () => {
    metrics = await (await fetch(`${agent.url}/metrics`)).text();
    return metrics.includes("ilagent_edge_items_delivered_total 2\n");
  }, "the answers are counted");
  assert.match(metrics, /ilagent_edge_items_received_total 4\n/);
  assert.match(metrics, /ilagent_edge_items_skipped_total\{status="404"\} 1\n/);
  assert.match(metrics, /ilagent_edge_items_skipped_total\{status="4xx"\} 1\n/);
  assert.match(metrics, /ilagent_edge_items_given_back_total 0\n/);

  const listed = await all.run("deadletter", "list", "--json");
  const letters = JSON.parse(listed.stdout);
  assert.deepEqual(letters.map(({ id, source, status }: Record<string, unknown>) => [id, source, status]), [
    ["2", "edge", 404],
    ["3", "edge", 422],
  ]);
  const text = (await all.run("deadletter", "list")).stdout;
  assert.match(text, /^2 {2}\S+ {2}item 2 of the edge connector {2}the target answered 404/m);
  assert.match((await all.run("deadletter", "show", "2")).stdout, /no such hook/);
  all.target.answer = () => 200;
  assert.equal((await all.run("deadletter", "retry", "--all")).stdout, "2 queued again\n");
  await until(() => all.target.taken.length === 4, "they are delivered", 3_000);
  assert.deepEqual(all.target.numbers, [1, 4, 2, 3]);
  assert.equal(all.target.taken[2]?.headers.get("x-ilert-edge-item-id"), "2");
  assert.equal(await agent.stop(), 0);
  const audit = JSON.parse((await all.run("audit", "--json")).stdout);
  assert.deepEqual([audit.accepted, audit.delivered, audit.queued, audit.dead, audit.holds], [
    2,
    2,
    0,
    0,
    true,
  ]);
});

Deno.test("returned items show in 'queue' while the target is down, and a dropped one is not delivered", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(...edgePayloads(1, 2));
  all.target.answer = () => 400;
  const agent = await all.start(all.http);
  await agent.waitForLine(/Item 2 was skipped/);
  await all.target.goDown();
  await all.run("deadletter", "retry", "--all");
  await agent.waitForLine(/Deliveries stopped/);
  const queued = await all.run("queue", "list");
  assert.match(queued.stdout, /^1 .* alert-created {2}Alert 1 {2}attempt 2: the target cannot be reached/m);
  assert.equal((await all.run("queue", "drop", "1")).stdout, "1 dropped\n");
  all.target.comeBack();
  assert.equal((await all.run("queue", "retry", "--all")).code, 0);
  await until(() => all.target.taken.length === 1, "the other one is delivered", 5_000);
  assert.deepEqual(all.target.numbers, [2]);
  assert.equal(JSON.parse((await all.run("audit", "--json")).stdout).holds, true);
});

Deno.test("events of the relay in the file, and returned items of another connection, are left there with a warning", async () => {
  await using all = await edgeProcesses();
  {
    using rust = createRustDatabase(all.folder.file("a.db3"));
    for (const id of ["1", "2"]) insertRustEvent(rust, { id });
  }
  all.target.answer = () => 400;
  all.ilert.edge.add(...edgePayloads(1, 1));
  const first = await all.start(all.http);
  await first.waitForLine(/WARNING 2 events of the relay are in this file and stay there/);
  await first.waitForLine(/Item 1 was skipped/);
  assert.equal(await first.stop(), 0);
  assert.ok(!first.lines.some((line) => line.includes("another edge connection")));
  await all.run("deadletter", "retry", "--all");
  const other = await all.start(all.http, { env: { ILERT_EDGE_CONNECTOR_KEY: "iec1-another-key" } });
  await other.waitForLine(
    /WARNING 1 returned items of another edge connection are in this file and stay there/,
  );
  assert.equal(JSON.parse((await all.run("queue", "list", "--json")).stdout).length, 3);
});

for (const [what, answer] of [["cursor", 200], ["dead letter", 400]] as const) {
  Deno.test(`SIGTERM while another process holds the file waits for the ${what}, and says what was not written`, async () => {
    await using all = await edgeProcesses();
    all.target.answer = () => answer;
    const agent = await all.start([...all.http, "--shutdown_timeout", "2"]);
    using other = new DatabaseSync(all.folder.file("a.db3"), { timeout: 5_000 });
    other.exec("BEGIN IMMEDIATE");
    all.ilert.edge.add(...edgePayloads(1, 1));
    await until(() => all.target.arrived.length === 1, "the item is with the target", 20_000);
    assert.equal(await agent.stop(), 0);
    await agent.waitForLine(
      /WARNING The last cursor or dead letter was not written .*may come again with the next start/,
    );
  });
}

Deno.test("--alarm_key tells of a new dead letter of the edge after the old one was purged", async () => {
  await using all = await edgeProcesses();
  all.target.answer = () => 400;
  all.ilert.edge.add(...edgePayloads(1, 1));
  const first = await all.start(all.http);
  await first.waitForLine(/Item 1 was skipped/);
  assert.equal(await first.stop(), 0);
  const agent = await all.start([...all.http, "--alarm_key", "il1api-alarm-key-0001"]);
  assert.equal((await all.run("deadletter", "purge", "--all")).stdout, "1 purged\n");
  await until(async () => {
    return (await (await fetch(`${agent.url}/metrics`)).text()).includes("ilagent_dead_letters 0\n");
  }, "the agent has seen it");
  all.ilert.edge.add(...edgePayloads(2, 1));
  // The items of the test are months old, which is an alarm too.
  const isAlarm = ({ event }: { event: { summary?: unknown } }) =>
    /1 dead letters/.test(String(event.summary));
  await all.ilert.waitFor(({ accepted }) => accepted.some(isAlarm), { timeoutMs: 20_000 });
});

Deno.test("at --dead_letter_max the edge stops as on a retryable failure", async () => {
  await using all = await edgeProcesses();
  all.ilert.edge.add(...edgePayloads(1, 3));
  all.target.answer = () => 400;
  const agent = await all.start([...all.http, "--dead_letter_max", "1", "--edge_poll_interval", "5"]);
  await agent.waitForLine(/Deliveries stopped: there are 1 dead letters \(--dead_letter_max\), and item 2/);
  assert.equal((await readiness(agent)).status, 503);
  all.target.answer = () => 200;
  await until(() => all.target.taken.length === 2, "deliveries go on", 15_000);
  assert.deepEqual(all.target.numbers, [2, 3]);
});

Deno.test("an edge connector takes no events or heartbeats, sends its own, and answers shutdown with 503", async () => {
  await using all = await edgeProcesses();
  all.target.hang();
  all.ilert.edge.add(...edgePayloads(1, 2));
  const agent = await all.start([...all.http, "-b", "il1hbt123"], { env: { ILAGENT_INTAKE_TOKEN: "token" } });
  for (const [method, path] of [["POST", "/api/events"], ["GET", "/api/heartbeats/il1hbt123"]] as const) {
    const response = await fetch(agent.url + path, { method });
    assert.equal(response.status, 404);
    assert.match((await response.json()).error, /edge connector .* takes no events or heartbeats/);
  }
  await all.ilert.waitFor(({ requests }) =>
    requests.some(({ path }) => path === "/api/heartbeats/il1hbt123")
  );
  await until(() => all.target.arrived.length === 1, "a delivery is in hand");
  const stopped = agent.stop();
  await until(async () => {
    const response = await fetch(`${agent.url}/health`);
    await response.body?.cancel();
    return response.status === 503;
  }, "health says so");
  all.target.answer = () => 200;
  all.target.finishHanging(200);
  assert.equal(await stopped, 0);
  assert.deepEqual(all.target.numbers, [1]);
});

Deno.test("the permissions of an edge connector are its target and ilert, and nothing else", async () => {
  await using all = await edgeProcesses();
  const shown = await all.run(
    ...["permissions", "--json", "-p", "9000", "--host", "127.0.0.1", "--edge_mode", "http"],
    ...["--edge_http_url", "https://hooks.internal/events"],
  );
  const { net, read, write } = JSON.parse(shown.stdout);
  const ilert = new URL(all.ilert.url).host;
  assert.deepEqual(net, ["127.0.0.1:9000", ilert, "hooks.internal:443"]);
  const file = all.folder.file("a.db3");
  assert.deepEqual([read, write], [[file, `${file}-wal`], [
    file,
    `${file}-wal`,
    `${file}.lock`,
  ]]);
  const stdout = await all.run("permissions", "--json", "--edge_mode", "stdout");
  assert.deepEqual(JSON.parse(stdout.stdout).net, [ilert]);
});
