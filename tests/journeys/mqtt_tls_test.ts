/** MQTT over TLS and websockets through the built agent, whose rights are those to this broker and these files alone. */

import assert from "node:assert/strict";
import { Certificates } from "../../scripts/services/certificates.ts";
import { startMosquitto } from "../../scripts/services/mosquitto.ts";
import { ConsumerSite, eventMessage } from "../support/consumer_site.ts";
import { MqttPeer } from "../support/mqtt_peer.ts";
import { brokerTest } from "../support/services.ts";

const NEEDS = { needs: ["mosquitto"] } as const;

brokerTest(
  "MQTT: a broker by its name, over TLS, mutual TLS, with a password, and over websockets",
  NEEDS,
  async () => {
    await using made = await Certificates.create();
    await using broker = await startMosquitto({
      listeners: {
        plain: {},
        tls: { tls: "server" },
        mutual: { tls: "mutual" },
        password: { password: true },
        ws: { websockets: true },
        wss: { tls: "mutual", websockets: true },
      },
      certificates: made,
      users: { alice: "secret" },
    });
    const ca = `--mqtt_ca ${made.caFile}`;
    const mutual =
      `${ca} --mqtt_client_cert ${made.client.certFile} --mqtt_client_key ${made.client.keyFile}`;
    const at = (listener: "plain" | "tls" | "mutual" | "password" | "ws" | "wss") =>
      `localhost:${broker.port(listener)}`;
    const ways = {
      plain: `-m ${at("plain")}`,
      tls: `-m ${at("tls")} --mqtt_tls ${ca}`,
      mutual: `-m mqtts://${at("mutual")} ${mutual}`,
      password: `-m ${at("password")} --mqtt_username alice --mqtt_password secret`,
      ws: `-m ws://${at("ws")}`,
      wss: `-m wss://${at("wss")} ${mutual}`,
    };
    await using site = await ConsumerSite.start();
    for (const [name, way] of Object.entries(ways)) {
      const agent = await site.agent(name, `daemon ${way} -e ${name}`);
      await agent.isReady();
    }
    await using peer = await MqttPeer.connect(broker.url("plain"));
    for (const [n, name] of Object.keys(ways).entries()) await peer.publish(name, eventMessage(n));
    await site.allArrived(Object.keys(ways).length);
  },
);

brokerTest(
  "MQTT: /ready and one line of the log say why TLS or the password is refused; the agent runs on",
  NEEDS,
  async () => {
    await using made = await Certificates.create();
    await using others = await Certificates.create();
    await using broker = await startMosquitto({
      listeners: { tls: { tls: "server" }, password: { password: true } },
      certificates: made,
      users: { alice: "secret" },
    });
    await using site = await ConsumerSite.start();
    const refused = async (name: string, way: string, reason: RegExp) => {
      const agent = await site.agent(name, `daemon ${way} -e events`);
      await agent.process.waitForLine(reason);
      const { status, body } = await agent.ready();
      assert.equal(status, 503);
      assert.equal(body?.component, "mqtt");
      assert.equal(body?.connected, false);
      assert.match(String(body?.error), reason);
      assert.equal(agent.process.lines.filter((line) => reason.test(line)).length, 1);
      assert.equal(await agent.process.stop(), 0);
    };
    await refused(
      "tls",
      `-m localhost:${broker.port("tls")} --mqtt_tls --mqtt_ca ${others.caFile}`,
      /TLS: the broker's certificate is not signed by a trusted authority/,
    );
    await refused(
      "password",
      `-m localhost:${broker.port("password")} --mqtt_username alice --mqtt_password wrong`,
      /the broker refuses the user name or password/,
    );
  },
);
