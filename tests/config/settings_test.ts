import assert from "node:assert/strict";
import fc from "fast-check";
import type { Surroundings } from "../../src/config/environment.ts";
import { flagEntries } from "../../src/config/flags.ts";
import { readSettings } from "../../src/config/settings.ts";

function surroundings(
  variables: Record<string, string> = {},
  files: Record<string, string> = {},
): Surroundings {
  return {
    variable: (name) => variables[name],
    readFile(path) {
      const content = files[path];
      if (content === undefined) throw new Deno.errors.NotFound(path);
      return content;
    },
  };
}

async function values(args: string[], ...around: Parameters<typeof surroundings>) {
  const settings = await readSettings(args, surroundings(...around));
  assert.equal(settings.kind, "run", JSON.stringify(settings));
  return settings.kind === "run" ? settings.values : assert.fail();
}

async function problems(args: string[], ...around: Parameters<typeof surroundings>): Promise<string[]> {
  const settings = await readSettings(args, surroundings(...around));
  assert.equal(settings.kind, "invalid", JSON.stringify(settings));
  return settings.kind === "invalid" ? settings.problems : assert.fail();
}

Deno.test("readSettings() prefers the flag, then the environment, then the file, then the default", async () => {
  const file = { "a.yaml": "port: 3\nmax_retries: 3\nhost: 10.0.0.3\n" };
  const environment = { ILAGENT_PORT: "2", ILAGENT_MAX_RETRIES: "2" };
  const read = await values(["daemon", "-p", "1", "--config", "a.yaml"], environment, file);
  assert.deepEqual([read.port, read.max_retries, read.host, read.delivery_concurrency], [
    1,
    2,
    "10.0.0.3",
    64,
  ]);
});

Deno.test("readSettings() takes every long flag with hyphens too, and values that look like flags", async () => {
  const read = await values(["daemon", "--max-retries=7", "-p8977", "--log-format", "json"]);
  assert.deepEqual([read.max_retries, read.port, read.log_format], [7, 8977, "json"]);
  const event = await values(["event", "-k", "key", "-t", "ALERT", "-s", "--port"]);
  assert.equal(event.summary, "--port");
});

Deno.test("readSettings() says one thing of a required flag that was given where it cannot be read", async () => {
  assert.deepEqual(await problems(["heartbeat"], { ILERT_INTEGRATION_KEY_FILE: "gone" }), [
    "ILERT_INTEGRATION_KEY_FILE: cannot read gone: no such file or directory; name a readable file that holds the value",
  ]);
  const file = { "a.yaml": "integration_key: [a, b]" };
  assert.deepEqual(await problems(["heartbeat", "--config", "a.yaml"], {}, file), [
    "integration_key in a.yaml: must be a single value",
  ]);
});

Deno.test("readSettings() counts -v before and after the command", async () => {
  assert.equal((await values(["-v", "daemon", "-p", "1", "-vv", "--verbose"])).verbose, 4);
  assert.equal((await values(["daemon", "-p", "1"], { ILAGENT_VERBOSE: "2" })).verbose, 2);
});

Deno.test("readSettings() takes -f before and after the command", async () => {
  assert.equal((await values(["-f", "x.db3", "daemon", "-p", "1"])).file, "x.db3");
  assert.equal((await values(["daemon", "-p", "1", "-f", "x.db3"])).file, "x.db3");
});

Deno.test("readSettings() reports every problem at once, one line each, naming flag, fault and cure", async () => {
  const lines = await problems(
    ["daemon", "--prot", "1", "-p", "70000", "--severity", "9", "extra", "--host", "a b"],
    { ILAGENT_MAX_RETRIES: "many", ILAGENT_INTAKE_TOKEN_FILE: "gone" },
  );
  assert.deepEqual(lines, [
    "unknown flag --prot: did you mean --port?",
    "unexpected argument 'extra': values follow their flag, as in --flag value",
    "ILAGENT_INTAKE_TOKEN_FILE: cannot read gone: no such file or directory; name a readable file that holds the value",
    "--port: must be a whole number from 1 to 65535, not '70000'",
    "--host: must be a host name or an IP address, without a port, not 'a b'",
    "ILAGENT_MAX_RETRIES: must be a whole number of at least 0, not 'many'",
    "--severity: must be a number from 1 to 5, not '9'",
  ]);
});

Deno.test("readSettings() never shows the value of a secret", async () => {
  const lines = await problems(["daemon", "-p", "1", "-b", "se cret", "--intake_token", "täken"]);
  assert.equal(lines.length, 2);
  assert.ok(lines.every((line) => !/se cret|täken/.test(line)), lines.join());
});

Deno.test("readSettings() refuses flags of other commands, repeated flags and flags without a value", async () => {
  assert.deepEqual(await problems(["daemon", "-s", "x", "-p", "1", "-p", "2", "--file"]), [
    "--summary: is not a flag of 'daemon', but of event",
    "--port: is given more than once; give it once",
    "--file: needs a value, as in --file FILE",
  ]);
});

Deno.test("readSettings() asks for required flags by name and variable", async () => {
  const lines = await problems(["event"]);
  assert.equal(lines.length, 3);
  assert.match(
    lines[0] ?? "",
    /^--integration_key: is required .*ILAGENT_INTEGRATION_KEY or ILERT_INTEGRATION_KEY$/,
  );
  assert.equal((await values(["heartbeat"], { ILERT_INTEGRATION_KEY: "k" })).integration_key, "k");
});

Deno.test("readSettings() reads secrets from files named by variables, without the final newline", async () => {
  const read = await values(["daemon", "-p", "1"], { ILAGENT_INTAKE_TOKEN_FILE: "/run/token" }, {
    "/run/token": "s3cret\n",
  });
  assert.equal(read.intake_token, "s3cret");
});

Deno.test("readSettings() ignores an empty variable and what Kubernetes sets for a service called ilagent", async () => {
  const environment = { ILAGENT_PORT: "tcp://10.0.0.1:8977", ILAGENT_HOST: "", ILAGENT_SERVICE_PORT: "8977" };
  const read = await values(["daemon", "-b", "k"], environment);
  assert.deepEqual([read.port, read.host], [undefined, "0.0.0.0"]);
});

Deno.test("readSettings() collects repeatable flags from everywhere they may be written", async () => {
  const flags = await values([
    "daemon",
    "-p",
    "1",
    "--label",
    "a=1",
    "--label",
    "b=x=y",
    "--service",
    "id=5",
  ]);
  assert.deepEqual(flags.label, [["a", "1"], ["b", "x=y"]]);
  assert.deepEqual(flags.service, [{ id: 5 }]);
  assert.deepEqual((await values(["daemon", "-p", "1"], { ILAGENT_LABEL: "a=1, b=2" })).label, [["a", "1"], [
    "b",
    "2",
  ]]);
  const file = { f: "label:\n  a: 1\n  b: two\nservice: [alias=db, id=7]\n" };
  const read = await values(["daemon", "-p", "1", "--config", "f"], {}, file);
  assert.deepEqual(read.label, [["a", "1"], ["b", "two"]]);
  assert.deepEqual(read.service, [{ alias: "db" }, { id: 7 }]);
});

Deno.test("readSettings() says what is wrong with a configuration file", async () => {
  const config = (content: string) => problems(["daemon", "-p", "1", "--config", "f"], {}, { f: content });
  assert.deepEqual(await config("prot: 1\nmax_retries: x"), [
    "--config: unknown key 'prot' in f: did you mean 'port'?",
    "max_retries in f: must be a whole number of at least 0, not 'x'",
  ]);
  assert.match((await config("a: [1"))[0] ?? "", /^--config: f is not valid YAML: .* at line 1, column \d+$/);
  assert.match((await config("- a"))[0] ?? "", /must hold settings/);
  assert.match((await config("host: [a]"))[0] ?? "", /^host in f: must be a single value/);
  assert.match(
    (await problems(["daemon", "--config", "gone"]))[0] ?? "",
    /^--config: cannot read gone: no such file/,
  );
});

Deno.test("readSettings() takes values of a configuration file as they are written", async () => {
  const file = { f: "intake_token: 12345678901234567890\nhost: 10.0.0.1\nmax_retries: 007\n" };
  const read = await values(["daemon", "-p", "1", "--config", "f"], {}, file);
  assert.deepEqual([read.intake_token, read.host, read.max_retries], ["12345678901234567890", "10.0.0.1", 7]);
  const twice = await problems(["daemon", "-p", "1", "--config", "f"], {}, {
    f: "max_retries: 1\nmax-retries: 2",
  });
  assert.deepEqual(twice, ["--config: 'max-retries' stands twice in f, in two spellings"]);
  assert.match(
    (await problems(["daemon", "-p", "1", "--config", "f"], {}, { f: "*!" }))[0] ?? "",
    /not valid YAML/,
  );
});

Deno.test("readSettings() refuses hosts that a permission cannot name", async () => {
  for (const host of ["a:b:c", "..", "%", "a b", "10.0.0.1:80", "*"]) {
    assert.equal((await problems(["daemon", "-p", "1", "--host", host])).length, 1, host);
  }
  for (
    const url of [
      "http://a..b",
      "http://a,b",
      "http://*.example.com",
      "ftp://a",
      "http://u:p@a",
      "http://a?q",
    ]
  ) {
    assert.equal((await problems(["daemon", "-p", "1"], { ILERT_API_HOST: url })).length, 1, url);
  }
  assert.equal((await values(["daemon", "-p", "1", "--host", "[::1]"])).host, "::1");
});

Deno.test("readSettings() suggests the command that was meant", async () => {
  assert.deepEqual(await problems(["deamon"]), ["unknown command 'deamon': did you mean 'daemon'?"]);
  assert.equal((await readSettings([], surroundings())).kind, "no_command");
  assert.equal((await readSettings(["-v"], surroundings())).kind, "no_command");
});

Deno.test("readSettings() never throws, whatever the arguments, variables and file", async () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      ...flagEntries.flatMap(([name]) => [`--${name}`, `--${name}=`, `--${name.replaceAll("_", "-")}`]),
    ),
    fc.constantFrom("daemon", "event", "-", "--", "-v", "-pf", "=", "--=x"),
  );
  await fc.assert(fc.asyncProperty(fc.array(word), fc.string(), fc.string(), async (args, variable, file) => {
    await readSettings(
      ["daemon", "--config", "f", ...args],
      surroundings({ ILAGENT_LABEL: variable }, { f: file }),
    );
    await readSettings(args, surroundings());
  }));
});
