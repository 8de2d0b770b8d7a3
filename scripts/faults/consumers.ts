/** MQTT and Kafka between the sender and ilert, and whatever can go wrong there: nothing is lost, and order stays. */

import { findKafka } from "../services/kafka_jars.ts";
import { findMosquitto } from "../services/mosquitto_package.ts";
import { type Feed, KafkaSite, MqttFeed, type MqttFeedOptions } from "./consumer_feeds.ts";
import { killConsumers } from "./consumers_kill.ts";
import { backlog, poison } from "./consumers_messages.ts";
import { breakTheWay, ilertAway } from "./consumers_outage.ts";
import { tryTlsFiles } from "./consumers_tls.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

/** Kills of all five ways together. */
const KILLS_LONG = 200, KILLS_SHORT = 5;

const MQTT_WAYS: Readonly<Record<string, MqttFeedOptions>> = {
  qos1: { qos: 1 },
  qos2: { qos: 2 },
  qos1_buffered: { qos: 1, isBuffered: true },
  qos2_buffered: { qos: 2, isBuffered: true },
};

type Trial = (
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
) => Promise<void>;

/** One after the other. */
type Lane = readonly (() => Promise<void>)[];

/** Both brokers at the same time: most of it is waiting. */
export async function tryConsumers(circumstances: Circumstances, findings: Findings): Promise<void> {
  await sideBySide([tryMqtt, tryKafka].map((tryOne) => () => tryOne(circumstances, findings)));
}

async function tryMqtt(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findMosquitto() === null) return findings.skip("consumers.mqtt", "Mosquitto is not installed");
  const { isLong } = circumstances;
  const attempt = (name: string, options: MqttFeedOptions, trial: Trial) => async () => {
    await using feed = await MqttFeed.start(options);
    await trial(feed, `consumers.mqtt.${name}`, circumstances, findings);
  };
  const ways = Object.entries(MQTT_WAYS);
  const kills = ways.map(([way, options]) => attempt(`kill.${way}`, options, kill));
  const outages = ways.flatMap(([way, options]) => [
    ...(isLong || way === "qos2" ? [attempt(`way.${way}`, options, breakTheWay)] : []),
    ...(isLong || way === "qos1" ? [attempt(`ilert_away.${way}`, options, ilertAway)] : []),
  ]);
  const messages = [attempt("poison", {}, poison), attempt("backlog", {}, backlog)];
  const tls = isLong ? [() => tryTlsFiles("consumers.mqtt.tls", circumstances, findings)] : [];
  await run([[...kills, ...messages], [...outages, ...tls]], circumstances);
}

async function tryKafka(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findKafka() === null) return findings.skip("consumers.kafka", "Kafka is not installed");
  const trials: Readonly<Record<string, Trial>>[] = [
    { poison, backlog, ilert_away: ilertAway, kill },
    // Apart, because it kills the broker.
    { way: breakTheWay },
  ];
  const lanes = trials.map((some) => [async () => {
    await using site = await KafkaSite.start();
    for (const [name, trial] of Object.entries(some)) {
      await using feed = await site.feed();
      await trial(feed, `consumers.kafka.${name}`, circumstances, findings);
    }
  }]);
  await run(lanes, circumstances);
}

/** Side by side in the short form, which mostly waits; the long one measures too, so there each has its broker alone. */
async function run(lanes: readonly Lane[], { isLong }: Circumstances): Promise<void> {
  const inTurn = (lane: Lane) => async () => {
    for (const step of lane) await step();
  };
  await (isLong ? inTurn(lanes.flat())() : sideBySide(lanes.map(inTurn)));
}

/** Waits for all, so that none is left behind by the failure of another. */
async function sideBySide(steps: Lane): Promise<void> {
  const ends = await Promise.allSettled(steps.map((step) => step()));
  const failure = ends.find((end) => end.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

async function kill(
  feed: Feed,
  name: string,
  circumstances: Circumstances,
  findings: Findings,
): Promise<void> {
  const { cycles, isLong } = circumstances;
  const ways = Object.keys(MQTT_WAYS).length + 1;
  const kills = Math.max(1, Math.ceil((cycles ?? (isLong ? KILLS_LONG : KILLS_SHORT)) / ways));
  await killConsumers(feed, name, kills, circumstances, findings);
}
