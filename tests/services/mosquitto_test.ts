import assert from "node:assert/strict";
import { Certificates } from "../../scripts/services/certificates.ts";
import { startMosquitto } from "../../scripts/services/mosquitto.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";
import { until } from "../support/until.ts";

const NEEDS = { needs: ["mosquitto"] } as const;

brokerTest(
  "startMosquitto() opens each listener as asked, and refuses who must be refused",
  NEEDS,
  async () => {
    await using certificates = await Certificates.create();
    const { caFile, client, expiredClient } = certificates;
    await using broker = await startMosquitto({
      listeners: {
        plain: {},
        password: { password: true },
        tls: { tls: "server" },
        mutual: { tls: "mutual" },
        websockets: { websockets: true },
        secureWebsockets: { websockets: true, tls: "server" },
      },
      certificates,
      users: { alice: "right" },
    });
    const user = (password: string) => ({ user: { name: "alice", password } });

    await assertDelivers(broker.url("plain"));
    await assertDelivers(broker.url("password"), user("right"));
    await assertDelivers(broker.url("tls"), { caFile });
    await assertDelivers(broker.url("mutual"), { caFile, client });
    await assertDelivers(broker.url("websockets"));
    await assertDelivers(broker.url("secureWebsockets"), { caFile });

    await assert.rejects(MqttPeer.connect(broker.url("password"), user("wrong")), /Not authorized/);
    await assert.rejects(MqttPeer.connect(broker.url("password")), /Not authorized/);
    await assert.rejects(MqttPeer.connect(broker.url("tls")), /certificate/);
    await using strangers = await Certificates.create();
    await assert.rejects(MqttPeer.connect(broker.url("mutual"), { caFile }));
    await broker.waitForLine(/peer did not return a certificate/);
    await assert.rejects(MqttPeer.connect(broker.url("mutual"), { caFile, client: expiredClient }));
    await assert.rejects(MqttPeer.connect(broker.url("mutual"), { caFile, client: strangers.client }));
    // A refused client may only see its connection end; the broker always says why.
    await until(() => broker.log.split("certificate verify failed").length === 3, "two refused certificates");
  },
);

brokerTest(
  "Mosquitto keeps over a restart what is queued, and over a kill what persist() wrote",
  NEEDS,
  async () => {
    await using broker = await startMosquitto();
    const session = "keeper";
    {
      await using keeper = await MqttPeer.connect(broker.url("plain"), { session });
      await keeper.subscribe("kept/#");
    }
    await publish(broker.url("plain"), "kept/over-restart");
    await broker.restart();
    await publish(broker.url("plain"), "kept/over-kill");
    await broker.persist();
    await publish(broker.url("plain"), "kept/not");
    await broker.kill();
    await assert.rejects(MqttPeer.connect(broker.url("plain")), /ECONNREFUSED/);
    await broker.restart();

    await using keeper = await MqttPeer.connect(broker.url("plain"), { session });
    await publish(broker.url("plain"), "kept/last");
    const messages = await keeper.received(3);
    assert.deepEqual(messages.map(({ topic }) => topic), [
      "kept/over-restart",
      "kept/over-kill",
      "kept/last",
    ]);
  },
);

brokerTest("startMosquitto() says with the broker's own words why it did not start", NEEDS, async () => {
  await assert.rejects(startMosquitto({ extraLines: ["no_such_option 1"] }), /no_such_option/);
});

async function assertDelivers(
  url: string,
  options: Parameters<typeof MqttPeer.connect>[1] = {},
): Promise<void> {
  await using peer = await MqttPeer.connect(url, options);
  await peer.subscribe("greeting");
  await peer.publish("greeting", url);
  assert.deepEqual(await peer.received(1), [{ topic: "greeting", payload: url, qos: 1 }]);
}

async function publish(url: string, topic: string): Promise<void> {
  await using publisher = await MqttPeer.connect(url);
  await publisher.publish(topic, "");
}
