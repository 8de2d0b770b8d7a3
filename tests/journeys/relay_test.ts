/** The built agent as a black box between senders and an emulated ilert. */

import assert from "node:assert/strict";
import { AgentProcess, BUILT, freePort, runAgent, type StartOptions } from "../support/agent_process.ts";
import { copyExecutable } from "../support/executable.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { until } from "../support/until.ts";

const JSON_TYPE = { "content-type": "application/json" };

interface Relay extends AsyncDisposable {
  ilert: IlertEmulator;
  folder: TempFolder;
  agent: AgentProcess;
  /** Starts another agent on the same file, port and ilert. */
  again(...flags: string[]): Promise<AgentProcess>;
  post(event: Record<string, unknown>): Promise<Response>;
  audit(): Promise<Record<string, number | boolean>>;
}

async function relay(...flags: string[]): Promise<Relay> {
  const folder = new TempFolder();
  const ilert = await IlertEmulator.start({ rawFaults: true });
  const port = await freePort();
  const file = folder.file("ilagent.db3");
  const options = (more: string[]): StartOptions => ({
    command: "built",
    args: ["daemon", "-p", `${port}`, "-f", file, "--host", "127.0.0.1", ...more],
    env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: ilert.url },
    cwd: folder.path,
  });
  const agents: AgentProcess[] = [];
  const again = async (...more: string[]) => {
    const agent = AgentProcess.start(options(more));
    agents.push(agent);
    await agent.ready();
    return agent;
  };
  return {
    ilert,
    folder,
    agent: await again(...flags),
    again,
    post: (event) =>
      fetch(`http://127.0.0.1:${port}/api/events`, {
        method: "POST",
        headers: JSON_TYPE,
        body: JSON.stringify(event),
      }),
    async audit() {
      const { stdout } = await runAgent(["audit", "-f", file, "--json"], { command: "built" });
      return JSON.parse(stdout);
    },
    async [Symbol.asyncDispose]() {
      for (const agent of agents) await agent[Symbol.asyncDispose]();
      await ilert[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function alert(n: number, lane = n): Record<string, unknown> {
  return {
    apiKey: "il1api-journey",
    eventType: "ALERT",
    summary: `Alert ${n}`,
    alertKey: `lane-${lane}`,
    customDetails: { n },
  };
}

async function accepted(response: Promise<Response>): Promise<void> {
  const { status, body } = await response;
  await body?.cancel();
  assert.equal(status, 200);
}

Deno.test("events arrive at ilert as they were sent, in order per alert key, and the audit holds", async () => {
  await using all = await relay("--label", "site=a", "--severity", "4");
  for (let n = 0; n < 60; n++) await accepted(all.post(alert(n, n % 5)));
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 60);
  assert.deepEqual(all.ilert.orderViolations, []);
  assert.equal(all.ilert.duplicates, 0);
  const [first] = all.ilert.requests;
  assert.deepEqual((first?.body as Record<string, unknown>).labels, { site: "a" });
  assert.deepEqual((first?.body as Record<string, unknown>).severity, 4);
  assert.equal(await all.agent.stop(), 0);
  assert.deepEqual(await all.audit(), {
    accepted: 60,
    delivered: 60,
    purged: 0,
    queued: 0,
    dead: 0,
    unaccounted: 0,
    holds: true,
  });
});

Deno.test("what was accepted before a SIGKILL arrives after the restart; only what was in flight may arrive twice", async () => {
  await using all = await relay("--delivery_concurrency", "8");
  all.ilert.inject({ kind: "delay", ms: 20 });
  let stored = 0;
  // One sender per lane, who sends the next only after an answer: else there is no order to keep.
  const senders = Array.from({ length: 20 }, async (_, lane) => {
    for (let n = 0;; n++) {
      const response = await all.post(alert(n * 20 + lane, lane)).catch(() => null);
      if (response?.status !== 200) return;
      await response.body?.cancel();
      stored++;
    }
  });
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount >= 30);
  await all.agent.kill();
  await Promise.all(senders);
  assert.ok(stored > 30);
  all.ilert.clearFaults();
  await all.again();
  await all.ilert.waitFor(({ acceptedCount, counts }) => acceptedCount - counts.duplicates >= stored);
  assert.ok(all.ilert.counts.duplicates <= 8, `${all.ilert.counts.duplicates} duplicates`);
  assert.deepEqual(all.ilert.orderViolations, []);
});

Deno.test("an outage of the API delays events and loses none; they leave within 2 s of its return", async () => {
  await using all = await relay();
  await accepted(all.post(alert(0)));
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  await all.ilert.goDown();
  for (let n = 1; n < 30; n++) await accepted(all.post(alert(n)));
  await all.agent.waitForLine(/ilert does not take events/);
  await all.ilert.comeBack();
  const backAt = performance.now();
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount > 1);
  assert.ok(performance.now() - backAt < 2_000);
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 30);
  assert.equal(all.ilert.counts.duplicates, 0);
});

Deno.test("a shutdown first turns health and readiness to 503, finishes what is in hand and exits 0", async () => {
  await using all = await relay("-vv");
  all.ilert.inject({ kind: "hang" });
  await accepted(all.post(alert(1)));
  await all.ilert.waitFor(({ counts }) => counts.inFlight === 1);
  all.agent.signal("SIGTERM");
  await all.agent.waitForLine(/Shutting down/);
  for (const path of ["/health", "/ready", "/healthz", "/readyz", "/livez"]) {
    const response = await fetch(all.agent.url + path);
    assert.equal(response.status, 503, path);
    assert.deepEqual(await response.json(), { component: "daemon", error: "shutting down" });
  }
  const refused = await all.post(alert(2));
  await refused.body?.cancel();
  assert.equal(refused.status, 503);
  all.ilert.clearFaults();
  all.ilert.releaseHanging();
  assert.equal((await all.agent.exit).code, 0);
  const { delivered, queued, holds } = await all.audit();
  assert.deepEqual({ delivered, queued, holds }, { delivered: 1, queued: 0, holds: true });
});

Deno.test("what is not answered within --shutdown_timeout stays queued, and the exit code is still 0", async () => {
  await using all = await relay("--shutdown_timeout", "1");
  all.ilert.inject({ kind: "hang" });
  await accepted(all.post(alert(1)));
  await all.ilert.waitFor(({ counts }) => counts.inFlight === 1);
  assert.equal(await all.agent.stop(), 0);
  assert.equal((await all.audit()).queued, 1);
  all.ilert.clearFaults();
  await all.again();
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
});

Deno.test("a second signal ends the agent at once with 1 and one line", async () => {
  await using all = await relay("-vv");
  all.ilert.inject({ kind: "hang" });
  await accepted(all.post(alert(1)));
  await all.ilert.waitFor(({ counts }) => counts.inFlight === 1);
  all.agent.signal("SIGTERM");
  await all.agent.waitForLine(/Shutting down/);
  await new Promise((resolve) => setTimeout(resolve, 300)); // beyond what counts as one signal
  all.agent.signal("SIGINT");
  assert.equal((await all.agent.exit).code, 1);
  assert.match(all.agent.stderrLines.at(-1) ?? "", /^ilagent: ended at once by a second SIGINT/);
});

Deno.test("idle connections do not delay the end", async () => {
  await using all = await relay();
  const { hostname, port } = new URL(all.agent.url);
  using idle = await Deno.connect({ hostname, port: Number(port) });
  await idle.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  await idle.read(new Uint8Array(512));
  const at = performance.now();
  assert.equal(await all.agent.stop(), 0);
  assert.ok(performance.now() - at < 3_000);
});

Deno.test("a second agent on the same file is refused by name and the first goes on", async () => {
  await using all = await relay();
  const file = all.folder.file("ilagent.db3");
  const second = await runAgent(["daemon", "-p", `${await freePort()}`, "-f", file], { command: "built" });
  assert.equal(second.code, 1);
  assert.equal(second.stderr.trim().split("\n").length, 1);
  assert.match(second.stderr, /ilagent\.db3 is in use by another ilagent; .* -f/);
  await accepted(all.post(alert(1)));
});

Deno.test("-b pings its heartbeat at once, and the proxy endpoint pings others", async () => {
  await using all = await relay("-b", "il1hbt-own");
  await all.ilert.waitFor(({ requests }) =>
    requests.some(({ path }) => path === "/api/heartbeats/il1hbt-own")
  );
  const proxied = await fetch(`${all.agent.url}/api/heartbeats/some-other-key`);
  assert.deepEqual([proxied.status, await proxied.json()], [202, {}]);
  assert.ok(
    all.ilert.requests.some(({ method, path }) => method === "HEAD" && path === "/api/pings/some-other-key"),
  );
  all.ilert.inject({ kind: "status", status: 404, on: "heartbeat" });
  const refused = await fetch(`${all.agent.url}/api/heartbeats/some-other-key`);
  await refused.body?.cancel();
  assert.equal(refused.status, 500);
});

Deno.test("a proxied heartbeat that hangs does not delay the intake", async () => {
  await using all = await relay();
  all.ilert.inject({ kind: "hang", on: "heartbeat" });
  const abort = new AbortController();
  const hanging = Array.from(
    { length: 40 },
    () =>
      fetch(`${all.agent.url}/api/heartbeats/il1hbt1`, { signal: abort.signal }).then(
        (response) => response.body?.cancel(),
        () => {},
      ),
  );
  await all.ilert.waitFor(({ counts }) => counts.inFlight >= 30);
  await accepted(all.post(alert(1)));
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  abort.abort();
  await Promise.all(hanging);
});

Deno.test("logs are JSON lines on request, follow an event by its id, and show no key in full", async () => {
  const folderKey = "il1api-very-secret-key-123456";
  await using all = await relay("-vvvv", "--log_format", "json", "--intake_token", "tok-secret-123456");
  const answer = await fetch(`${all.agent.url}/api/events`, {
    method: "POST",
    headers: { ...JSON_TYPE, authorization: "Bearer tok-secret-123456" },
    body: JSON.stringify({ ...alert(1), apiKey: folderKey }),
  });
  const { id } = await answer.json();
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  all.ilert.inject({ kind: "status", status: 400 });
  const refused = await fetch(`${all.agent.url}/api/events`, {
    method: "POST",
    headers: { ...JSON_TYPE, authorization: "Bearer tok-secret-123456" },
    body: JSON.stringify({ ...alert(2), apiKey: folderKey }),
  });
  await refused.body?.cancel();
  await all.agent.waitForLine(/dead letter/);
  await all.agent.waitForLine(/delivered/);
  await all.agent.stop();
  const records = all.agent.stderrLines.map((line) => JSON.parse(line));
  const ofEvent = records.filter(({ properties }) => properties?.id === id).map(({ message }) =>
    String(message)
  );
  assert.ok(ofEvent.length >= 3, JSON.stringify(ofEvent));
  assert.match(ofEvent[0] ?? "", /accepted/);
  assert.match(ofEvent.at(-1) ?? "", /delivered/);
  const text = all.agent.lines.join("\n");
  assert.ok(!text.includes(folderKey) && !text.includes("tok-secret-123456"));
});

Deno.test("the intake survives any bytes on the wire and stores nothing of them", async () => {
  await using all = await relay();
  const { hostname, port } = new URL(all.agent.url);
  const heads = [
    "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{{{{{",
    "POST /api/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n{",
    "POST /api/events HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "\u0000\u0001\u0002\r\n\r\n",
    "GET /%%% HTTP/1.1\r\nhost: x\r\n\r\n",
    'POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n{"apiKey":"k"',
  ];
  for (const head of heads) {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    await connection.write(new TextEncoder().encode(head));
  }
  await accepted(all.post(alert(1)));
  await all.ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  await all.agent.stop();
  assert.equal((await all.audit()).accepted, 1);
});

Deno.test("a body that does not arrive within 10 s is answered 408", async () => {
  await using all = await relay();
  const { hostname, port } = new URL(all.agent.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(
    new TextEncoder().encode("POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n{"),
  );
  const at = performance.now();
  const buffer = new Uint8Array(1024);
  const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.ok(performance.now() - at > 9_000);
});

Deno.test("the audit exits 1 when a row has vanished", async () => {
  await using all = await relay();
  await all.ilert.goDown();
  await accepted(all.post(alert(1)));
  await all.agent.stop();
  const { DatabaseSync } = await import("node:sqlite");
  const file = all.folder.file("ilagent.db3");
  {
    using database = new DatabaseSync(file);
    database.exec("DELETE FROM event_items");
  }
  const { code, stdout } = await runAgent(["audit", "-f", file], { command: "built" });
  assert.equal(code, 1);
  assert.match(stdout, /does NOT hold: 1 accepted events have neither a row nor a delivery/);
});

Deno.test("running out of file descriptors is survived, and the agent answers again once there are some", {
  ignore: Deno.build.os === "windows",
}, async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  const port = await freePort();
  await using agent = AgentProcess.start({
    command: ["sh", "-c", 'ulimit -n 100; exec "$0" "$@"', BUILT],
    args: ["daemon", "-p", `${port}`, "-f", folder.file("a.db3"), "--host", "127.0.0.1"],
    env: { ILERT_API_HOST: ilert.url },
    cwd: folder.path,
  });
  await agent.ready();
  const held: Deno.TcpConn[] = [];
  for (let i = 0; i < 150; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    if (connection !== null) held.push(connection);
  }
  await agent.waitForLine(/The HTTP server stopped: .*Too many open files/);
  for (const connection of held) connection.close();
  await agent.ready();
  const response = await fetch(`${agent.url}/api/events`, {
    method: "POST",
    headers: JSON_TYPE,
    body: JSON.stringify(alert(1)),
  });
  await accepted(Promise.resolve(response));
  await ilert.waitFor(({ acceptedCount }) => acceptedCount === 1);
  assert.equal(await agent.stop(), 0);
});

Deno.test("the answer to a request in hand at the shutdown gets out", async () => {
  await using all = await relay("-vv");
  const { hostname, port } = new URL(all.agent.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const body = JSON.stringify(alert(1));
  const head = [
    "POST /api/events HTTP/1.1",
    "host: x",
    `content-length: ${body.length}`,
    "expect: 100-continue",
  ];
  await connection.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`));
  const buffer = new Uint8Array(4096);
  const read = async () => new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  // The server says so when somebody begins to read the body: then the request is in hand.
  assert.match(await read(), /^HTTP\/1\.1 100 /);
  all.agent.signal("SIGTERM");
  await all.agent.waitForLine(/Shutting down/);
  await connection.write(new TextEncoder().encode(body));
  assert.match(await read(), /^HTTP\/1\.1 200 /);
  assert.equal((await all.agent.exit).code, 0);
});

Deno.test("another user can run the built file from another folder", {
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
}, async () => {
  using folder = new TempFolder();
  await using ilert = await IlertEmulator.start();
  Deno.chownSync(folder.path, 65534, 65534);
  const port = await freePort();
  const program = folder.file("ilagent");
  copyExecutable(BUILT, program);
  await using agent = AgentProcess.start({
    command: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program],
    args: ["daemon", "-p", `${port}`, "-b", "il1hbt1"],
    env: {
      ILERT_API_HOST: ilert.url,
      ILERT_HEARTBEAT_HOST: ilert.url,
      HOME: folder.path,
      ILAGENT_CACHE_DIR: folder.file("cache"),
    },
    cwd: folder.path,
  });
  await agent.ready();
  await until(() => ilert.requests.length > 0, "the heartbeat arrives");
  assert.equal(await agent.stop(), 0);
  assert.equal(Deno.statSync(folder.file("ilagent.db3")).uid, 65534);
});
