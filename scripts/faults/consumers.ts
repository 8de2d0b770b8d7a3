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

/** Both brokers at the same time: most of it is waiting. */
export async function tryConsumers(circumstances: Circumstances, findings: Findings): Promise<void> {
  await Promise.all([tryMqtt(circumstances, findings), tryKafka(circumstances, findings)]);
}

async function tryMqtt(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findMosquitto() === null) return findings.skip("consumers.mqtt", "Mosquitto is not installed");
  const attempt = async (name: string, options: MqttFeedOptions, trial: Trial) => {
    await using feed = await MqttFeed.start(options);
    await trial(feed, `consumers.mqtt.${name}`, circumstances, findings);
  };
  for (const [way, options] of Object.entries(MQTT_WAYS)) {
    await attempt(
      `kill.${way}`,
      options,
      (feed, name) => killConsumers(feed, name, kills(circumstances), circumstances, findings),
    );
  }
  for (const [way, options] of Object.entries(MQTT_WAYS)) {
    if (circumstances.isLong || way === "qos2") await attempt(`way.${way}`, options, breakTheWay);
    if (circumstances.isLong || way === "qos1") await attempt(`ilert_away.${way}`, options, ilertAway);
  }
  await attempt("poison", {}, poison);
  await attempt("backlog", {}, backlog);
  if (circumstances.isLong) await tryTlsFiles("consumers.mqtt.tls", circumstances, findings);
}

async function tryKafka(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findKafka() === null) return findings.skip("consumers.kafka", "Kafka is not installed");
  await using site = await KafkaSite.start();
  const attempt = async (name: string, trial: Trial) => {
    await using feed = await site.feed();
    await trial(feed, `consumers.kafka.${name}`, circumstances, findings);
  };
  await attempt("poison", poison);
  await attempt("backlog", backlog);
  await attempt("ilert_away", ilertAway);
  await attempt(
    "kill",
    (feed, name) => killConsumers(feed, name, kills(circumstances), circumstances, findings),
  );
  await attempt("way", breakTheWay);
}

function kills({ cycles, isLong }: Circumstances): number {
  const ways = Object.keys(MQTT_WAYS).length + 1;
  return Math.max(1, Math.ceil((cycles ?? (isLong ? KILLS_LONG : KILLS_SHORT)) / ways));
}
