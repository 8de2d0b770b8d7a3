/** A right that an agent lacks at run time, whatever took it, is named in the log, and is no reason for a stack trace. */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { PERMISSION_FLAGS } from "../../scripts/build/run_flags.ts";
import { AgentProcess, freePort, MAIN, runAgent } from "../support/agent_process.ts";
import { edgePayload } from "../support/edge_items.ts";
import { IlertEmulator } from "../support/ilert_emulator.ts";
import { TempFolder } from "../support/temp_folder.ts";

const PROGRAM = fileURLToPath(new URL("./lacking_main.ts", import.meta.url));
const COMMAND = [Deno.execPath(), "run", "--quiet", ...PERMISSION_FLAGS, PROGRAM];
const KEY = "iec1-lacking-rights";

interface Place {
  ilert: string;
  beats: string;
  own: string;
  file: string;
  ca: string;
  /** Nothing listens there: an agent that had the right would say that. */
  nobody: string;
}

interface Lack {
  name: string;
  flags: (place: Place) => string;
  right: "net" | "read" | "write";
  what: (place: Place) => string;
  /** 2 is for what cannot start without it. */
  exitCode?: 1 | 2;
}

const HTTP = ({ own }: Place) => `-p ${own.split(":")[1]} --host 127.0.0.1`;
const MQTT = ({ nobody }: Place) => `-m ${nobody} -e t`;
const EDGE_HTTP = ({ nobody }: Place) => `--edge_mode http --edge_http_url http://${nobody}/x`;
const EDGE_MQTT = ({ nobody }: Place) => `--edge_mode mqtt -m ${nobody} --edge_topic t`;
const KAFKA = ({ nobody }: Place) => `--kafka_brokers ${nobody} -e t`;
const EDGE_KAFKA = ({ nobody }: Place) => `--edge_mode kafka --kafka_brokers ${nobody} --edge_topic t`;

const LACKS: readonly Lack[] = [
  { name: "relay: its own address", flags: HTTP, right: "net", what: ({ own }) => own, exitCode: 1 },
  { name: "relay: reading its database", flags: HTTP, right: "read", what: ({ file }) => file, exitCode: 2 },
  { name: "relay: writing its database", flags: HTTP, right: "write", what: ({ file }) => file, exitCode: 2 },
  { name: "relay: its lock", flags: HTTP, right: "write", what: ({ file }) => `${file}.lock`, exitCode: 2 },
  {
    name: "relay: ilert, for a heartbeat",
    flags: () => "-b some-key",
    right: "net",
    what: ({ beats }) => beats,
  },
  { name: "relay: an MQTT broker", flags: MQTT, right: "net", what: ({ nobody }) => nobody },
  {
    name: "relay: the authority of an MQTT broker",
    flags: (place) => `${MQTT(place)} --mqtt_tls --mqtt_ca ${place.ca}`,
    right: "read",
    what: ({ ca }) => ca,
  },
  { name: "relay: a Kafka broker", flags: KAFKA, right: "net", what: ({ nobody }) => nobody },
  {
    name: "relay: the authority of a Kafka broker",
    flags: (place) => `${KAFKA(place)} --kafka_tls --kafka_ca ${place.ca}`,
    right: "read",
    what: ({ ca }) => ca,
  },
  { name: "edge: ilert", flags: () => "--edge_mode stdout", right: "net", what: ({ ilert }) => ilert },
  { name: "edge: the target", flags: EDGE_HTTP, right: "net", what: ({ nobody }) => nobody },
  { name: "edge: an MQTT broker", flags: EDGE_MQTT, right: "net", what: ({ nobody }) => nobody },
  { name: "edge: a Kafka broker", flags: EDGE_KAFKA, right: "net", what: ({ nobody }) => nobody },
  {
    name: "edge: the authority of a Kafka broker",
    flags: (place) => `${EDGE_KAFKA(place)} --kafka_tls --kafka_ca ${place.ca}`,
    right: "read",
    what: ({ ca }) => ca,
  },
];

for (const { name, flags, right, what, exitCode } of LACKS) {
  Deno.test(`a lacking right is named in one line: ${name}`, async () => {
    using folder = new TempFolder();
    await using ilert = await IlertEmulator.start({ edgeKey: KEY });
    await using beats = await IlertEmulator.start();
    ilert.edge.add(edgePayload(1));
    const place: Place = {
      ilert: new URL(ilert.url).host,
      beats: new URL(beats.url).host,
      own: `127.0.0.1:${await freePort()}`,
      file: folder.file("a.db3"),
      ca: folder.file("ca.pem"),
      nobody: `127.0.0.1:${await freePort()}`,
    };
    await Deno.writeTextFile(place.ca, "-----BEGIN CERTIFICATE-----\n");
    await using agent = AgentProcess.start({
      command: COMMAND,
      args: [`${right} ${what(place)}`, "daemon", "-f", place.file, ...flags(place).split(" ")],
      env: { ILERT_API_HOST: ilert.url, ILERT_HEARTBEAT_HOST: beats.url, ILERT_EDGE_CONNECTOR_KEY: KEY },
    });
    if (exitCode === undefined) {
      const named = RegExp.escape(what(place));
      // Of a Kafka broker that it may not reach the agent says that it has the list of them made anew.
      await agent.waitForLine(new RegExp(`no right to .*${named}|The Kafka broker ${named} was not there`));
      assert.equal(await agent.stop(), 0);
    } else {
      assert.equal((await agent.exit).code, exitCode);
      assert.match(agent.stderrLines.join("\n"), /^ilagent: .*the agent has no right to .*$/);
      assert.ok(agent.stderrLines[0]?.includes(what(place)));
    }
    assert.ok(!agent.stderrLines.some((line) => /^\s+at /.test(line)), agent.stderrLines.join("\n"));
  });
}

Deno.test("a program that was started with too few rights names Deno's flags for the others, and starts nothing", async () => {
  using folder = new TempFolder();
  const command = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-prompt",
    "--allow-read",
    "--allow-write",
    "--allow-env",
  ];
  const args = ["daemon", "-f", folder.file("a.db3"), "-p", "18977", "--host", "127.0.0.1"];
  for (
    const more of [[], ["-m", "broker.invalid", "-e", "t"], [
      "--kafka_brokers",
      "broker.invalid:9092",
      "-e",
      "t",
    ]]
  ) {
    const { code, stderr } = await runAgent([...args, ...more], {
      command: [...command, "--allow-net=api.ilert.com:443,127.0.0.1:18977", MAIN],
    });
    assert.equal(code, 2);
    assert.match(stderr, /^ilagent: Deno was started without rights .*: add --allow-net=(\S+)\n$/);
    assert.ok(stderr.includes(more.length === 0 ? "beat.ilert.com:443" : "broker.invalid:"), stderr);
  }
});
