/**
 * What the agent relies on in mqtt.js, and what it does around it: see the head of `connection.ts`. A new version of
 * mqtt.js that behaves otherwise fails here.
 */

import assert from "node:assert/strict";
import { Connection, type IncomingMessage } from "../../../src/clients/mqtt/connection.ts";
import type { ConnectWish } from "../../../src/clients/mqtt/connect_wish.ts";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import {
  CONNECT,
  DISCONNECT,
  FakeMqttBroker,
  PINGREQ,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  publishedIdOf,
  PUBREC,
  PUBREL,
  versionOf,
} from "../../support/fake_mqtt_broker.ts";
import { mqttAtRest } from "../../support/mqtt_peer.ts";
import { until } from "../../support/until.ts";

const NO_SIGNAL = new AbortController().signal;
const RESUMED = [0x20, 3, 1, 0, 0];

function wishOf(url: string, more: Partial<ConnectWish> = {}): ConnectWish {
  return {
    ...{ url, clientId: "c", username: null, password: null, tls: null, version: 5, session: "persistent" },
    ...more,
  };
}

async function connect(broker: FakeMqttBroker, more: Partial<ConnectWish> = {}, clock: Clock = systemClock) {
  const messages: IncomingMessage[] = [], told: string[] = [];
  const opening = await Connection.open(
    wishOf(broker.url, more),
    {
      opened: (connection) => void told.push(`opened ${connection.sessionPresent}`),
      received(message) {
        messages.push(message);
        told.push(`received ${new TextDecoder().decode(message.payload)}`);
      },
      released: (packetId) => void told.push(`released ${packetId}`),
    },
    clock,
    NO_SIGNAL,
  );
  assert.equal(opening.kind, "open");
  assert.ok(opening.kind === "open");
  const { connection } = opening;
  return {
    ...{ connection, messages, told },
    async [Symbol.asyncDispose]() {
      await connection.leave();
      await mqttAtRest();
    },
  };
}

/** PUBLISH to "t" of MQTT 5, of one character. */
function publishOf(qos: 0 | 1 | 2, id: number, text: string): number[] {
  const packetId = qos === 0 ? [] : [id >> 8, id & 0xff];
  const rest = [0, 1, 0x74, ...packetId, 0, text.charCodeAt(0)];
  return [0x30 | qos << 1, rest.length, ...rest];
}

/** What was sent before has come, when the broker has answered this. */
async function settled(under: { connection: Connection }): Promise<void> {
  assert.deepEqual(await under.connection.publish("mark", "", 1), { kind: "accepted" });
}

Deno.test("Connection leaves messages of QoS 1 and 2 unacknowledged until told to, in four bytes for each", async () => {
  await using broker = await FakeMqttBroker.start();
  await using under = await connect(broker);
  await broker.send([...publishOf(1, 0x102, "a"), ...publishOf(2, 0x103, "b"), ...publishOf(0, 0, "c")]);
  await until(() => under.messages.length === 3, "all have come");
  await settled(under);
  assert.deepEqual([broker.of(PUBACK).length, broker.of(PUBREC).length], [0, 0]);

  assert.equal(under.connection.acknowledge(under.messages.slice(0, 2)), "written");
  await until(() => broker.of(PUBREC).length === 1, "the acknowledgements have come");
  assert.deepEqual(broker.of(PUBACK), [{ type: PUBACK, flags: 0, body: Uint8Array.of(1, 2), bytes: 4 }]);
  assert.deepEqual(broker.of(PUBREC), [{ type: PUBREC, flags: 0, body: Uint8Array.of(1, 3), bytes: 4 }]);
});

Deno.test("Connection hands on each message of QoS 2 when it comes, once, and answers its release", async () => {
  await using broker = await FakeMqttBroker.start();
  await using under = await connect(broker);
  await broker.send(publishOf(2, 5, "a"));
  await until(() => under.messages.length === 1, "it has come");
  under.connection.acknowledge(under.messages);
  await broker.send([0x62, 2, 0, 5]);
  await until(() => broker.of(PUBCOMP).length === 1, "the release is answered");
  assert.deepEqual(under.told.slice(1), ["received a", "released 5"]);
  assert.deepEqual(broker.of(PUBCOMP)[0]?.body.subarray(0, 2), Uint8Array.of(0, 5));
});

Deno.test("Connection tells of its session before the messages that come with the CONNACK", async () => {
  await using broker = await FakeMqttBroker.start({ [CONNECT]: () => [...RESUMED, ...publishOf(1, 1, "a")] });
  await using under = await connect(broker);
  await until(() => under.messages.length === 1, "it has come");
  assert.deepEqual(under.told, ["opened true", "received a"]);
});

Deno.test("Connection asks for a session that lasts, bounds what is under way to it, and has a clean one on request", async () => {
  await using broker = await FakeMqttBroker.start();
  await (await connect(broker))[Symbol.asyncDispose]();
  await (await connect(broker, { session: "clean" }))[Symbol.asyncDispose]();
  const [persistent, clean] = broker.of(CONNECT);
  assert.ok(persistent && clean);
  assert.equal(versionOf(persistent), 5);
  const flagsAndKeepAlive = (body: Uint8Array) => [...body.subarray(7, 10)];
  assert.deepEqual(flagsAndKeepAlive(persistent.body), [0, 0, 5]);
  assert.deepEqual(flagsAndKeepAlive(clean.body), [2, 0, 5]);
  // Session expiry interval (17): never. Receive maximum (33): 250.
  assert.deepEqual([...persistent.body.subarray(10, 19)], [8, 17, 255, 255, 255, 255, 33, 0, 250]);
});

Deno.test("Connection reads message by message without new memory of 64 KB for each", async () => {
  await using broker = await FakeMqttBroker.start();
  await using under = await connect(broker);
  const before = Deno.memoryUsage().external;
  for (let id = 1; id <= 500; id++) {
    await broker.send(publishOf(1, id, "m"));
    await until(() => under.messages.length === id, "it has come");
  }
  const grown = Deno.memoryUsage().external - before;
  assert.ok(grown < 500 * 16 * 1024, `${grown} bytes outside of the heap`);
});

Deno.test("Connection.publish() pings a broker that holds its acknowledgements, ever more seldom, and five times at most", async () => {
  const clock = new FakeClock();
  const held: number[][] = [];
  await using broker = await FakeMqttBroker.start({
    [PUBLISH](packet) {
      held.push([PUBACK << 4, 2, ...publishedIdOf(packet)]);
      return [];
    },
  });
  await using under = await connect(broker, {}, clock);
  const answers = ["a", "b", "c"].map((text) => under.connection.publish("t", text, 1));
  await until(() => held.length === 3, "all are published");
  await clock.advance(1);
  assert.equal(broker.of(PINGREQ).length, 0);
  for (const [pings, afterMs] of [1, 4, 8, 16, 32].entries()) {
    await clock.advance(afterMs);
    await until(() => broker.of(PINGREQ).length === pings + 1, `${pings + 1} pings`);
  }
  await clock.advance(1_000);
  await broker.send(held[0] ?? []);
  await answers[0];
  await clock.advance(2);
  await until(() => broker.of(PINGREQ).length === 6, "another one behind an acknowledgement");
  await broker.send(held.slice(1).flat());
  await Promise.all(answers);
  await clock.advance(1_000);
  // Whatever was sent before its answer has come.
  await under.connection.subscribe(["t"], 1);
  assert.equal(broker.of(PINGREQ).length, 6);
});

Deno.test("Connection.pause() ends reading after one message more; pings go on; resume() brings the rest", async () => {
  const clock = new FakeClock();
  await using broker = await FakeMqttBroker.start();
  await using under = await connect(broker, {}, clock);
  under.connection.pause();
  for (let id = 1; id <= 200; id++) await broker.send(publishOf(1, id, "m"));
  // Far longer than the keep-alive, with every answer unread.
  await clock.advance(60_000);
  await until(() => broker.of(PINGREQ).length >= 20, "pings have come");
  assert.equal(under.messages.length, 1);
  under.connection.resume();
  await until(() => under.messages.length === 200, "the rest has come");
  assert.deepEqual(
    under.messages.map(({ packetId }) => packetId),
    Array.from({ length: 200 }, (_, at) => at + 1),
  );
});

Deno.test("Connection pings every 5 s however often it is paused, and misses no answer that it had no time to read", async () => {
  const clock = new FakeClock();
  await using broker = await FakeMqttBroker.start({ [PINGREQ]: () => [] });
  await using under = await connect(broker, {}, clock);
  let end: string | null = null;
  void under.connection.closed.then(({ kind }) => end = kind);
  for (let second = 1; second <= 40; second++) {
    await clock.advance(1_000);
    under.connection.pause();
    under.connection.resume();
    await until(() => broker.of(PINGREQ).length >= Math.floor(second / 5), `pings after ${second} s`);
  }
  assert.equal(end, null);
  await clock.advance(10_000);
  await until(() => end === "lost", "a broker that says nothing is left");
});

Deno.test("Connection.leave() says goodbye with reason 0, which keeps the session, and acknowledges nothing after", async () => {
  await using broker = await FakeMqttBroker.start();
  const under = await connect(broker);
  await broker.send(publishOf(1, 1, "a"));
  await until(() => under.messages.length === 1, "it has come");
  await under.connection.leave();
  assert.equal(under.connection.acknowledge(under.messages), "closed");
  await until(() => broker.of(DISCONNECT).length === 1, "the goodbye has come");
  assert.deepEqual(broker.packets.at(-1), { type: DISCONNECT, flags: 0, body: new Uint8Array(), bytes: 2 });
  assert.equal(broker.of(PUBACK).length, 0);
  await mqttAtRest();
});

Deno.test("Connection.closed tells a take-over from a close without a word and from a reason", async () => {
  const closingAfter = async (bytes: number[]) => {
    await using broker = await FakeMqttBroker.start();
    await using under = await connect(broker);
    if (bytes.length > 0) await broker.send(bytes);
    broker.disconnectAll();
    return await under.connection.closed;
  };
  assert.deepEqual(await closingAfter([0xe0, 2, 0x8e, 0]), { kind: "taken_over" });
  assert.deepEqual(await closingAfter([]), {
    kind: "lost",
    reason: "the broker closed the connection",
    isByBroker: true,
  });
  assert.deepEqual(await closingAfter([0xe0, 2, 0x8b, 0]), {
    kind: "lost",
    reason: "the broker ended the connection: the broker is shutting down",
    isByBroker: false,
  });
});

Deno.test("Connection ends when the broker sends what is not MQTT, and answers every publish under way", async () => {
  await using broker = await FakeMqttBroker.start({ [PUBLISH]: () => [0xff, 0xff, 0xff, 0xff, 0xff] });
  await using under = await connect(broker);
  assert.deepEqual(await under.connection.publish("t", "x", 1), { kind: "lost" });
  assert.equal((await under.connection.closed).kind, "lost");
});

Deno.test("Connection.publish() at QoS 2 is answered by the PUBCOMP, not by the PUBREC", async () => {
  let mayComplete = false;
  await using broker = await FakeMqttBroker.start({
    [PUBLISH]: ({ body }) => [0x50, 2, ...body.subarray(3, 5)],
    [PUBREL]: ({ body }) => mayComplete ? [0x70, 2, ...body.subarray(0, 2)] : [],
  });
  await using under = await connect(broker);
  let answered = 0;
  const first = under.connection.publish("t", "x", 2).then(() => answered++);
  await until(() => broker.of(PUBREL).length === 1, "the release has come");
  mayComplete = true;
  assert.deepEqual(await under.connection.publish("t", "y", 2), { kind: "accepted" });
  assert.equal(answered, 0);
  await under.connection.leave();
  await first;
});

Deno.test("Connection.open() ends with its signal", async () => {
  await using broker = await FakeMqttBroker.start({ [CONNECT]: () => [] });
  const abort = new AbortController();
  const intake = { opened: () => {}, received: () => {}, released: () => {} };
  const opening = Connection.open(wishOf(broker.url), intake, systemClock, abort.signal);
  await until(() => broker.of(CONNECT).length === 1, "the CONNECT has come");
  abort.abort();
  assert.equal((await opening).kind, "failed");
  await mqttAtRest();
});
