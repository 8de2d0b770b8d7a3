/** The built agent's one-shot commands and its answers to wrong input. */

import assert from "node:assert/strict";
import { runAgent } from "../support/agent_process.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";
import { VERSION } from "../../src/runtime/version.ts";

function run(args: string[], env: Record<string, string> = {}) {
  return runAgent(args, { command: "built", env });
}

Deno.test("event sends one event with all its flags and prints the correlation id", async () => {
  await using ilert = await IlertEmulator.start();
  const { code, stdout, stderr } = await run([
    ...["event", "-k", "il1api1", "-t", "ALERT", "-s", "Disk full", "-i", "db-1", "-o", "HIGH", "-d", "very"],
    ...[
      "-g",
      "https://x/i.png",
      "-l",
      "https://x/l",
      "--label",
      "a=b=c",
      "--severity",
      "2",
      "--service",
      "alias=db",
    ],
  ], { ILERT_API_HOST: ilert.url });
  assert.deepEqual([code, stderr], [0, ""]);
  const [request] = ilert.requests;
  assert.ok(stdout.includes(`correlation id ${request?.correlationId}`), stdout);
  assert.deepEqual(request?.body, {
    integrationKey: "il1api1",
    eventType: "ALERT",
    summary: "Disk full",
    alertKey: "db-1",
    details: "very",
    priority: "HIGH",
    severity: 2,
    images: [{ src: "https://x/i.png" }],
    links: [{ href: "https://x/l", text: "Provided Url" }],
    labels: { a: "b=c" },
    services: [{ alias: "db" }],
  });
});

Deno.test("event exits 1 with ilert's reason when it is refused, after one attempt", async () => {
  await using ilert = await IlertEmulator.start();
  ilert.inject({ kind: "status", status: 400, body: '{"message":"no such key"}' });
  const { code, stderr } = await run(["event", "-t", "ALERT", "-s", "x"], {
    ILERT_API_HOST: ilert.url,
    ILERT_INTEGRATION_KEY: "il1api1",
  });
  assert.equal(code, 1);
  assert.equal(
    stderr,
    'ilagent: the event was not accepted: ilert answered 400: {"message":"no such key"}\n',
  );
  assert.equal(ilert.requests.length, 1);
});

Deno.test("event and heartbeat retry what may pass, and then succeed", async () => {
  await using ilert = await IlertEmulator.start();
  const env = {
    ILERT_API_HOST: ilert.url,
    ILERT_HEARTBEAT_HOST: ilert.url,
    ILERT_INTEGRATION_KEY: "il1hbt1",
  };
  ilert.inject({ kind: "status", status: 503, times: 2 });
  assert.equal((await run(["event", "-t", "RESOLVE", "-s", "x"], env)).code, 0);
  assert.equal(ilert.requests.length, 3);
  ilert.inject({ kind: "status", status: 429, times: 2 });
  assert.equal((await run(["heartbeat"], env)).code, 0);
  assert.equal(ilert.requests.length, 6);
});

Deno.test("event and heartbeat exit 1 after at least three attempts against a closed port", async () => {
  await using ilert = await IlertEmulator.start();
  const env = { ILERT_API_HOST: ilert.url, ILERT_INTEGRATION_KEY: "il1hbt1" };
  await ilert.goDown();
  for (const args of [["event", "-t", "ALERT", "-s", "x"], ["heartbeat"]]) {
    const { code, stderr } = await run(args, env);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^ilagent: the (event|heartbeat) was not accepted: .*Connection refused \(5 attempts\)\n$/,
    );
  }
});

Deno.test("--version, --help and no command answer as the contract says", async () => {
  assert.deepEqual(await run(["--version"]), { code: 0, stdout: `ilagent ${VERSION}\n`, stderr: "" });
  const help = await run(["daemon", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--port PORT[\s\S]*ILAGENT_PORT/);
  const none = await run([]);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /^ilagent \S+: bridges[\s\S]*Commands:/);
});

for (
  const [args, env, expected] of [
    [["daemon"], {}, /has nothing to do; give --port/],
    [["daemon", "-p", "0"], {}, /--port: must be a whole number from 1 to 65535/],
    [["daemon", "-p", "http"], {}, /--port: must be a whole number/],
    [
      ["daemon", "-p", "8977", "--max_retries", "-1"],
      {},
      /--max_retries: must be a whole number of at least 0/,
    ],
    [["daemon", "-p", "8977", "--bogus"], {}, /unknown flag --bogus/],
    [["daemon", "-p", "8977", "--label", "novalue"], {}, /--label: must be name=value/],
    [["daemon", "-p", "8977", "--service", "name=x"], {}, /--service: must be alias=NAME or id=NUMBER/],
    [["daemon", "-p", "8977", "-f", "/nowhere/x.db3"], {}, /\/nowhere\/x\.db3: no such file or directory/],
    [["daemon", "-p", "8977", "-f", "/"], {}, /cannot use the database \//],
    [
      ["daemon", "-p", "8977"],
      { ILERT_API_HOST: "ilert" },
      /ILERT_API_HOST: must be an http:\/\/ or https:\/\/ URL/,
    ],
    [["daemon", "-p", "8977"], { ILAGENT_HOST: "a b" }, /ILAGENT_HOST: must be a host name/],
    [
      ["daemon", "-p", "8977"],
      { ILAGENT_INTAKE_TOKEN_FILE: "/gone" },
      /ILAGENT_INTAKE_TOKEN_FILE: cannot read \/gone/,
    ],
    [
      ["event", "-k", "k", "-t", "BOOM", "-s", "x"],
      {},
      /--event_type: must be ALERT, ACCEPT, RESOLVE or COMMENT/,
    ],
    [["event", "-t", "ALERT", "-s", "x"], {}, /--integration_key: is required/],
    [["audit", "-f", "/gone.db3"], {}, /cannot read \/gone\.db3: no such file/],
  ] as [string[], Record<string, string>, RegExp][]
) {
  Deno.test(`${args.join(" ")} ${JSON.stringify(env)} exits 2 with one clear line`, async () => {
    const { code, stdout, stderr } = await run(args, env);
    assert.match(stderr, expected);
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    assert.match(stderr, /^ilagent: /);
  });
}

Deno.test("a file that is no database exits 2 and stays as it was", async () => {
  using folder = new TempFolder();
  const path = folder.file("notes");
  Deno.writeTextFileSync(path, "these are my notes, not a database");
  const { code, stderr } = await run(["daemon", "-p", "8977", "-f", path]);
  assert.equal(code, 2);
  assert.match(stderr, /notes is not an SQLite database/);
  assert.equal(Deno.readTextFileSync(path), "these are my notes, not a database");
});

Deno.test("permissions shows exactly what the daemon with the same flags may reach", async () => {
  const { stdout } = await run(["permissions", "-p", "8977", "-f", "/var/lib/a.db3", "--json"], {
    ILERT_API_HOST: "http://ilert.internal:8080",
  });
  const { net, read, write } = JSON.parse(stdout);
  assert.deepEqual(net, ["0.0.0.0:8977", "ilert.internal:8080", "beat.ilert.com:443"]);
  assert.deepEqual(read, ["/var/lib/a.db3", "/var/lib/a.db3-wal"]);
  assert.deepEqual(write, read);
});
