/**
 * The jail of every mode of the daemon, tried by a hostile program inside the built file: packed, started and given its
 * rights from a command line exactly as the real one.
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bundle } from "../../scripts/build/bundle.ts";
import { freePort } from "../support/agent_process.ts";
import { KILL_PROGRAM, ScriptFolder } from "../support/script_folder.ts";
import { sandbox } from "../support/self_extracting_sandbox.ts";
import type { Targets } from "./hostile_attempts.ts";

/** What listens in the test. */
const PLACES = ["ilert", "beats", "broker", "announced", "target", "proxy"] as const;
type Place = (typeof PLACES)[number];
type Site = Record<Place | "own" | "certificate" | "script", string>;

interface Mode {
  name: string;
  flags: (site: Site) => string;
  /** What the agent may do, beside using its database. */
  may: (Place | "listen" | "certificate")[];
  /** What the worker beside it may do. */
  beside?: { role: "script" | "brokers"; may: (Place | "certificate" | "run")[] };
  env?: (site: Site) => Record<string, string>;
}

const HTTP = ({ own }: Site) => `-p ${own.split(":")[1]} --host 127.0.0.1`;
const MQTT = ({ broker }: Site) => `-m ${broker} -e alerts`;
const MQTT_TLS = ({ broker, certificate }: Site) => `-m ${broker} --mqtt_tls --mqtt_ca ${certificate}`;
const KAFKA = ({ broker }: Site) => `--kafka_brokers ${broker}`;
const KAFKA_TLS = (site: Site) => `${KAFKA(site)} --kafka_tls --kafka_ca ${site.certificate}`;
const EDGE = (mode: string) => `--edge_mode ${mode} --edge_topic t`;

const MODES: readonly Mode[] = [
  { name: "relay: HTTP", flags: HTTP, may: ["ilert", "beats", "listen"] },
  {
    name: "relay: HTTP, behind a proxy",
    flags: HTTP,
    may: ["ilert", "beats", "listen"],
    env: ({ proxy }) => ({ HTTPS_PROXY: `http://${proxy}` }),
  },
  { name: "relay: heartbeat only", flags: () => "-b some-key", may: ["ilert", "beats"] },
  { name: "relay: heartbeat only, of an old key", flags: () => "-b il1hbt-some-key", may: ["ilert"] },
  { name: "relay: MQTT", flags: MQTT, may: ["ilert", "broker"] },
  {
    name: "relay: MQTT with TLS",
    flags: (site) => `${MQTT_TLS(site)} -e alerts`,
    may: ["ilert", "broker", "certificate"],
  },
  {
    name: "relay: MQTT with HTTP and a heartbeat",
    flags: (site) => `${MQTT(site)} ${HTTP(site)} -b some-key`,
    may: ["ilert", "beats", "broker", "listen"],
  },
  {
    name: "relay: Kafka",
    flags: (site) => `${KAFKA(site)} --kafka_group_id g -e alerts`,
    may: ["ilert", "broker", "announced"],
    beside: { role: "brokers", may: ["broker"] },
  },
  {
    name: "relay: Kafka with TLS",
    flags: (site) => `${KAFKA_TLS(site)} --kafka_group_id g -e alerts`,
    may: ["ilert", "broker", "announced", "certificate"],
    beside: { role: "brokers", may: ["broker", "certificate"] },
  },
  {
    name: "edge: http",
    flags: ({ target }) => `--edge_mode http --edge_http_url http://${target}/x`,
    may: ["ilert", "target"],
  },
  {
    name: "edge: http, with HTTP and a heartbeat",
    flags: (site) => `--edge_mode http --edge_http_url http://${site.target}/x ${HTTP(site)} -b some-key`,
    may: ["ilert", "beats", "target", "listen"],
  },
  { name: "edge: mqtt", flags: ({ broker }) => `${EDGE("mqtt")} -m ${broker}`, may: ["ilert", "broker"] },
  {
    name: "edge: mqtt with TLS",
    flags: (site) => `${EDGE("mqtt")} ${MQTT_TLS(site)}`,
    may: ["ilert", "broker", "certificate"],
  },
  {
    name: "edge: kafka",
    flags: (site) => `${EDGE("kafka")} ${KAFKA(site)}`,
    may: ["ilert", "broker", "announced"],
    beside: { role: "brokers", may: ["broker"] },
  },
  {
    name: "edge: kafka with TLS",
    flags: (site) => `${EDGE("kafka")} ${KAFKA_TLS(site)}`,
    may: ["ilert", "broker", "announced", "certificate"],
    beside: { role: "brokers", may: ["broker", "certificate"] },
  },
  {
    name: "edge: script",
    flags: ({ script }) => `--edge_mode script --edge_script ${script}`,
    may: ["ilert"],
    beside: { role: "script", may: ["run"] },
  },
  { name: "edge: stdout", flags: () => "--edge_mode stdout", may: ["ilert"] },
];

/** Each has two or three threads; more at a time only wait for each other. */
const MODES_AT_A_TIME = 3;

Deno.test("the jail of every mode denies all attempts but the work of that mode", async (test) => {
  const scratch = await Deno.makeTempFile({ suffix: ".js" });
  const root = fileURLToPath(new URL("../../", import.meta.url));
  await bundle(`${root}tests/jail/hostile_agent.ts`, scratch, root);
  const hostile = await Deno.readTextFile(scratch);
  await Deno.remove(scratch);
  await using built = await sandbox({ bundle: hostile, runtime: null });
  const listeners = PLACES.map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const addresses = listeners.map(({ addr }) => `127.0.0.1:${(addr as Deno.NetAddr).port}`);
  try {
    const [first, ...others] = MODES;
    // Extracts for all of them.
    if (first !== undefined) await test.step(first.name, () => tryMode(first, built, addresses));
    const waiting = [...others];
    const lane = async () => {
      for (let mode = waiting.shift(); mode !== undefined; mode = waiting.shift()) {
        const { name } = mode, tried = mode;
        await test.step({
          name,
          fn: () => tryMode(tried, built, addresses),
          ...{ sanitizeOps: false, sanitizeResources: false, sanitizeExit: false },
        });
      }
    };
    await Promise.all(Array.from({ length: MODES_AT_A_TIME }, lane));
  } finally {
    for (const listener of listeners) listener.close();
  }
});

async function tryMode(
  { flags, may, beside, env }: Mode,
  built: Awaited<ReturnType<typeof sandbox>>,
  addresses: string[],
): Promise<void> {
  using folder = new ScriptFolder();
  const script = folder.write("exit 0");
  const certificate = folder.file("ca.pem"), file = folder.file("a.db3");
  Deno.writeTextFileSync(certificate, "-----BEGIN CERTIFICATE-----\n");
  Deno.writeTextFileSync(folder.file("secret.txt"), "secret");
  Deno.writeTextFileSync(folder.file("evil.js"), "export default 1;");
  const own = `127.0.0.1:${await freePort()}`;
  const places = Object.fromEntries(PLACES.map((place, at) => [place, addresses[at] ?? ""])) as Record<
    Place,
    string
  >;
  const site: Site = { ...places, own, certificate, script };
  const usesKafka = beside?.role === "brokers";
  const targets: Targets & { announced: string; rightsKept: string[] } = {
    ...{ file, addresses, own, certificate, script, killPath: KILL_PROGRAM, announced: site.announced },
    // Decision 0010: it starts the agent again for other brokers.
    rightsKept: usesKafka ? ["net", "read", "write"] : [],
  };
  const { code, stdout, stderr } = await built.start(
    [JSON.stringify(targets), "daemon", "-f", file, ...flags(site).split(" ")],
    {
      cwd: folder.path,
      env: {
        ILERT_API_HOST: `http://${site.ilert}`,
        ILERT_HEARTBEAT_HOST: `http://${site.beats}`,
        ILERT_EDGE_CONNECTOR_KEY: "iec1-hostile",
        ...env?.(site),
      },
    },
  );
  assert.equal(code, 0, stderr);
  const named = (what: string) => {
    switch (what) {
      case "listen":
        return [`listen on ${own}`];
      case "certificate":
        return ["read the certificate"];
      case "run":
        return ["run kill", "run the script"];
      default:
        return [`connect to ${site[what as Place]}`];
    }
  };
  const expected: [string, string[]][] = [
    ...(beside === undefined ? [] : [[beside.role, beside.may.flatMap(named)] as [string, string[]]]),
    ["agent", ["use the database", ...may.flatMap(named)]],
    ["main thread", []],
  ];
  const reports: { role: string; outcomes: Record<string, string> }[] = stdout.trim().split("\n")
    .map((line) => JSON.parse(line));
  for (const { outcomes } of reports) assert.ok(Object.keys(outcomes).length > 15);
  assert.deepEqual(
    reports.map(({ role, outcomes }) => [
      role,
      Object.entries(outcomes).filter(([, outcome]) => outcome !== "denied")
        .map(([attempt, outcome]) => outcome === "allowed" ? attempt : `${attempt}: ${outcome}`).sort(),
    ]),
    expected.map(([role, allowed]) => [role, allowed.sort()]),
  );
}
