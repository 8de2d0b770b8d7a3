import assert from "node:assert/strict";
import { startMosquitto } from "../../../scripts/services/mosquitto.ts";
import { Certificates, type KeyPair } from "../../../scripts/services/certificates.ts";
import type { Connection } from "../../../src/clients/mqtt/connection.ts";
import { Link } from "../../../src/clients/mqtt/link.ts";
import type { MqttConnection } from "../../../src/clients/mqtt_connection.ts";
import type { TlsFiles } from "../../../src/runtime/tls_files.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CONNECT, FakeMqttBroker, versionOf } from "../../support/fake_mqtt_broker.ts";
import { memoryLog } from "../../support/memory_log.ts";
import { mqttAtRest } from "../../support/mqtt_peer.ts";
import { NetworkProxy } from "../../support/network_proxy.ts";
import { withRealPings } from "../../support/ping_clock.ts";
import { brokerTest } from "../../support/services.ts";
import { until } from "../../support/until.ts";

const TAKEN_OVER = [0xe0, 2, 0x8e, 0];

/**
 * A link whose clock only the test moves: a failed attempt is followed by another when the test says so. Pings need
 * the time that a real broker takes to answer them, unless the test is about that.
 */
function openLink(
  url: string,
  more: Partial<MqttConnection> & { id?: string; pings?: "real" | "fake" } = {},
) {
  const clock = new FakeClock(Date.now());
  const log = memoryLog();
  const connections: Connection[] = [];
  const owner = {
    opened: () => {},
    received: () => {},
    released: () => {},
    lost: () => {},
    connected: (connection: Connection) => void connections.push(connection),
  };
  const { id = "link", pings = "real", ...config } = more;
  const link = new Link(
    { url, clientId: null, username: null, password: null, tls: null, ...config },
    id,
    "persistent",
    owner,
    { clock: pings === "real" ? withRealPings(clock) : clock, random: () => 1, log },
  );
  link.start();
  return {
    ...{ link, clock, log, connections },
    connected: () => until(() => link.connection !== null, "the link is connected"),
    failed: (reason: RegExp) =>
      until(() => reason.test(link.error ?? ""), `the link has failed with ${reason}`),
    async [Symbol.asyncDispose]() {
      await link.stop();
      await mqttAtRest();
    },
  };
}

function linesOf(log: { lines: string[] }, level: string): string[] {
  return log.lines.filter((line) => line.startsWith(level));
}

Deno.test("Link falls back to MQTT 3.1.1 at once where the broker refuses MQTT 5 with 3.1.1's code", async () => {
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: (_packet, version) => version === 5 ? [0x20, 2, 0, 1] : [0x20, 2, 0, 0],
  });
  await using under = openLink(broker.url);
  await under.connected();
  assert.deepEqual(broker.of(CONNECT).map(versionOf), [5, 4]);
  assert.equal(under.link.connection?.version, 4);
  assert.equal(linesOf(under.log, "info").filter((line) => /refuses MQTT 5/.test(line)).length, 1);
});

Deno.test("Link falls back to MQTT 3.1.1 where the broker closes a connection of MQTT 5 without a word", async () => {
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: (_packet, version) => version === 5 ? null : [0x20, 2, 0, 0],
  });
  await using under = openLink(broker.url);
  await under.failed(/closed the connection/);
  await under.clock.advance(100);
  await under.connected();
  assert.equal(under.link.connection?.version, 4);
});

Deno.test("Link tries again after 100 ms, then 200 ms, and logs the same cause once", async () => {
  await using broker = await FakeMqttBroker.start({
    [CONNECT]: () => broker.connectionsMade < 4 ? [0x20, 3, 0, 0x88, 0] : [0x20, 3, 0, 0, 0],
  });
  await using under = openLink(broker.url);
  for (const [attempt, delayMs] of [[1, 100], [2, 200], [3, 400]] as const) {
    await until(() => broker.connectionsMade === attempt && under.clock.timers > 0, `attempt ${attempt}`);
    await under.clock.advance(delayMs - 1);
    assert.equal(broker.connectionsMade, attempt);
    await under.clock.advance(1);
  }
  await under.connected();
  assert.deepEqual(linesOf(under.log, "error").length, 1);
  assert.deepEqual(linesOf(under.log, "warn").length, 1, "and says when it is back");
});

Deno.test("Link explains a take-over that the broker announces, and waits instead of evicting the other in turn", async () => {
  await using broker = await FakeMqttBroker.start();
  await using under = openLink(broker.url, { id: "twin" });
  await under.connected();
  await broker.send(TAKEN_OVER);
  broker.disconnectAll();
  await under.failed(/another client has connected with the client id twin/);
  assert.match(linesOf(under.log, "error").join(), /taken the session; give each agent .* --mqtt_name/);
  await under.clock.advance(9_999);
  assert.equal(broker.connectionsMade, 1);
  await under.clock.advance(1);
  await under.connected();
});

Deno.test("Link takes repeated closes soon after connecting for a take-over, as MQTT 3.1.1 has no word for it", async () => {
  await using broker = await FakeMqttBroker.start();
  await using under = openLink(broker.url, { id: "twin" });
  for (const delayMs of [100, 200]) {
    await under.connected();
    broker.disconnectAll();
    await under.failed(/the broker closed the connection/);
    await under.clock.advance(delayMs);
  }
  await under.connected();
  broker.disconnectAll();
  await under.failed(/keeps closing the connection; another client may use the client id twin/);
  await under.clock.advance(9_999);
  assert.equal(broker.connectionsMade, 3);
});

brokerTest("Link finds a broker that fell silent within 7.5 s of its clock, and comes back", {
  needs: ["mosquitto"],
}, async () => {
  await using broker = await startMosquitto();
  await using proxy = await NetworkProxy.start(broker.port("plain"));
  await using under = openLink(`mqtt://127.0.0.1:${proxy.port}`, { pings: "fake" });
  await under.connected();
  proxy.stall();
  await under.clock.advance(7_500);
  await under.failed(/does not answer any more/);
  proxy.heal();
  await under.clock.advance(30_000);
  await under.connected();
});

brokerTest("Link says that credentials are refused, once, and goes on when they are accepted", {
  needs: ["mosquitto"],
}, async () => {
  await using broker = await startMosquitto({
    listeners: { pw: { password: true } },
    users: { alice: "secret" },
  });
  await using refused = openLink(broker.url("pw"), { username: "alice", password: "wrong" });
  for (let attempt = 0; attempt < 3; attempt++) {
    await refused.failed(/refuses the user name or password/);
    await refused.clock.advance(1_000);
  }
  assert.equal(linesOf(refused.log, "error").length, 1, refused.log.lines.join("\n"));
  await using accepted = openLink(broker.url("pw"), { username: "alice", password: "secret" });
  await accepted.connected();
});

brokerTest("Link connects over TLS, mutual TLS and secure websockets, and says why TLS fails", {
  needs: ["mosquitto"],
}, async () => {
  await using made = await Certificates.create();
  await using others = await Certificates.create();
  await using broker = await startMosquitto({
    listeners: {
      tls: { tls: "server" },
      mutual: { tls: "mutual" },
      wss: { tls: "mutual", websockets: true },
      ws: { websockets: true },
    },
    certificates: made,
  });
  const { client, caFile } = made;
  const connects = async (listener: "tls" | "mutual" | "wss" | "ws", tls: TlsFiles | null) => {
    await using under = openLink(broker.url(listener), { tls });
    await under.connected();
  };
  await connects("tls", filesOf(caFile));
  await connects("mutual", filesOf(caFile, client));
  await connects("wss", filesOf(caFile, client));
  await connects("ws", null);
  const fails = async (listener: "tls" | "mutual" | "wss", tls: TlsFiles, reason: RegExp) => {
    await using under = openLink(broker.url(listener), { tls });
    await under.failed(reason);
  };
  await fails(
    "tls",
    filesOf(others.caFile),
    /TLS: the broker's certificate is not signed by a trusted authority/,
  );
  await fails("tls", filesOf(null), /TLS: the broker's certificate is not signed by a trusted authority/);
  await fails("mutual", filesOf(caFile), /TLS: .*CertificateRequired/);
  await fails("mutual", filesOf(caFile, others.client), /TLS: /);
  await fails("mutual", filesOf(caFile, made.expiredClient), /TLS: .*expired-client\.crt expired on/);
});

brokerTest("Link takes over changed TLS files without losing the connection to files that are no good", {
  needs: ["mosquitto"],
}, async () => {
  await using made = await Certificates.create();
  await using others = await Certificates.create();
  await using broker = await startMosquitto({ listeners: { mutual: { tls: "mutual" } }, certificates: made });
  const used = await made.issue("used", { role: "client" });
  await using under = openLink(broker.url("mutual"), { tls: filesOf(made.caFile, used) });
  await under.connected();
  const errors = () => linesOf(under.log, "error").length;

  await Deno.writeTextFile(used.certFile, "garbage");
  await under.clock.advance(30_000);
  await until(() => errors() === 1, "the garbage is logged");
  assert.match(linesOf(under.log, "error")[0] ?? "", /used\.crt holds no certificate/);
  await under.clock.advance(60_000);
  assert.equal(errors(), 1, "once");
  assert.equal(under.link.connection, under.connections[0]);

  await replace(used, made.expiredClient);
  await under.clock.advance(30_000);
  await until(() => errors() === 2, "the expired one is logged");
  assert.equal(under.link.connection, under.connections[0]);

  // Valid in itself, but of an authority that this broker does not know.
  await replace(used, others.client);
  await under.clock.advance(30_000);
  await until(() => errors() === 3, "the broker's refusal is logged");
  assert.match(linesOf(under.log, "error")[2] ?? "", /does not take the changed TLS files/);
  assert.equal(under.link.connection, under.connections[0]);
  assert.equal(under.link.error, null);

  await replace(used, made.client);
  await under.clock.advance(30_000);
  await until(() => under.connections.length === 2, "the link has connected with the new files");
  assert.equal(under.link.connection, under.connections[1]);
  assert.equal(errors(), 3, under.log.lines.join("\n"));
});

function filesOf(caPath: string | null, pair?: KeyPair): TlsFiles {
  return { caPath, certPath: pair?.certFile ?? null, keyPath: pair?.keyFile ?? null };
}

async function replace(files: KeyPair, by: KeyPair): Promise<void> {
  await Deno.copyFile(by.keyFile, files.keyFile);
  await Deno.copyFile(by.certFile, files.certFile);
}
