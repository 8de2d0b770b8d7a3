/** A broker that is killed in the midst of a batch and comes back: the cursor passes only what it has acknowledged. */

import { startKafka } from "../services/kafka.ts";
import { findKafka } from "../services/kafka_jars.ts";
import { startMosquitto } from "../services/mosquitto.ts";
import { findMosquitto } from "../services/mosquitto_package.ts";
import { type KafkaMessage, KafkaPeer } from "../../tests/support/kafka_peer.ts";
import { MqttPeer } from "../../tests/support/mqtt_peer.ts";
import { NetworkProxy } from "../../tests/support/network_proxy.ts";
import { until } from "../../tests/support/until.ts";
import { sleep } from "../../tests/support/waiting_room.ts";
import { BATCH_ITEMS, EdgeSite, missing, overtaking } from "./edge_site.ts";
import type { Findings } from "./findings.ts";
import { type Circumstances, randomOf } from "./scenario.ts";

const OUTAGES_LONG = 10, OUTAGES_SHORT = 1;
/** Of one outage: more than a batch, so that the broker dies in the midst of them. */
const ITEMS = 350;
/** From a poll on: longer than most batches take. */
const MOMENT_MS_MAX = 30;
/** From a poll on, while the broker says nothing: long enough for a cursor that does not wait for it to reach the file. */
const SILENT_MS = 500;
const POLL_MS_MAX = 60_000, SETTLED_MS_MAX = 120_000, ARRIVED_MS_MAX = 30_000;
const PARTITIONS = 3;

/** A broker to be killed, and what somebody else there receives. */
interface Victim {
  flags: readonly string[];
  freeze(): void;
  kill(): Promise<void>;
  /** Until it takes connections again. */
  restart(): Promise<void>;
  /** After the last outage. */
  startReading(): Promise<void>;
  /** Items in their order, as far as the broker keeps one. */
  received(): number[];
}

export async function tryEdgeBrokers(circumstances: Circumstances, findings: Findings): Promise<void> {
  await Promise.all([tryKafka(circumstances, findings), tryMosquitto(circumstances, findings)]);
}

async function tryKafka(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findKafka() === null) return findings.skip("edge.kafka", "Kafka is not installed");
  await using broker = await startKafka();
  const address = broker.address("PLAINTEXT");
  await using peer = await KafkaPeer.connect(address);
  const topic = await peer.createTopic(PARTITIONS);
  let messages: readonly KafkaMessage[] = [];
  await outages(
    "edge.kafka",
    {
      flags: ["--edge_mode", "kafka", "--kafka_brokers", address, "--edge_topic", topic],
      freeze: () => broker.signal("SIGSTOP"),
      kill: () => broker.kill(),
      restart: () => broker.restart(),
      // A reader that had lived through the outage would be back long after the agent.
      startReading: async () => void (messages = await peer.read(topic)),
      received: () => messages.map(({ value }) => numberOf(value ?? "")),
    },
    circumstances,
    findings,
  );
}

async function tryMosquitto(circumstances: Circumstances, findings: Findings): Promise<void> {
  if (findMosquitto() === null) return findings.skip("edge.mqtt", "Mosquitto is not installed");
  await using broker = await startMosquitto();
  // The subscriber must be back before the agent: Mosquitto keeps nothing for nobody.
  await using proxy = await NetworkProxy.start(broker.port("plain"));
  await using peers = new AsyncDisposableStack();
  const subscribers: MqttPeer[] = [];
  const subscribe = async () => {
    const peer = peers.use(await MqttPeer.connect(broker.url("plain")));
    // Without acknowledgements of its own, so that the end of the connection brings all that was sent before.
    await peer.subscribe("edge", 0);
    subscribers.push(peer);
  };
  await subscribe();
  await outages(
    "edge.mqtt",
    {
      flags: [
        ...["--edge_mode", "mqtt", "--mqtt_host", "127.0.0.1", "--mqtt_port", `${proxy.port}`],
        ...["--edge_topic", "edge", "--mqtt_qos", "1"],
      ],
      freeze: () => broker.signal("SIGSTOP"),
      async kill() {
        await broker.kill();
        proxy.cut();
      },
      async restart() {
        await broker.restart();
        await subscribe();
        proxy.heal();
      },
      // It has been reading all the time: Mosquitto keeps nothing.
      startReading: () => Promise.resolve(),
      received: () => subscribers.flatMap(({ texts }) => texts.map(numberOf)),
    },
    circumstances,
    findings,
  );
}

async function outages(name: string, victim: Victim, circumstances: Circumstances, findings: Findings) {
  const { command, seed, isLong } = circumstances;
  const outages = isLong ? OUTAGES_LONG : OUTAGES_SHORT;
  const random = randomOf(seed);
  const polls = new Polls();
  await using site = await EdgeSite.start(command, { onAnswered: ({ path }) => polls.add(path) });
  site.agent(name, victim.flags);
  // A broker that was never there would be no outage.
  site.add(1);
  await until(() => polls.settled === 1, "a first item is settled", SETTLED_MS_MAX);
  const ahead: string[] = [];
  let hits = 0;
  await findings.attempt(
    `${name}.outages`,
    `${outages} kills of the broker, and each time the agent goes on`,
    async () => {
      for (let outage = 0; outage < outages; outage++) {
        const first = site.items;
        site.add(ITEMS);
        // Every second time the batch is certainly unanswered when the broker dies.
        const isSilent = outage % 2 === 0;
        if (isSilent) victim.freeze();
        const seen = polls.count;
        await until(() => polls.count > seen, "a poll", POLL_MS_MAX);
        await sleep(isSilent ? SILENT_MS : random() * MOMENT_MS_MAX, []);
        const kept = Math.max(polls.settled, await site.cursor(name));
        if (isSilent && kept > first) ahead.push(`at ${kept}, acknowledged up to ${first}`);
        await victim.kill();
        if (polls.settled < first + ITEMS) hits++;
        await victim.restart();
        await until(() => polls.settled === site.items, "all items are settled", SETTLED_MS_MAX);
      }
    },
  );
  findings.check(
    `${name}.cursor`,
    "it does not pass what a silent broker has not acknowledged",
    ahead.length === 0 ? null : `${ahead.slice(0, 3).join("; ")} (seed ${seed})`,
  );
  await findings.attempt(`${name}.lost`, "all that the agent moved past has arrived", async () => {
    await victim.startReading();
    const lost = () => missing(victim.received(), polls.settled);
    await until(() => lost().length === 0, "all items", ARRIVED_MS_MAX).catch((error: Error) => {
      throw new Error(
        `${error.message}; ${lost().length} are missing, such as ${lost().slice(0, 3)} (seed ${seed})`,
      );
    });
  });
  findings.check(
    `${name}.order`,
    "no item overtook an earlier one of its alert",
    overtaking(victim.received()),
  );
  const received = victim.received();
  const repeats = received.length - new Set(received).size;
  findings.check(
    `${name}.repeats`,
    "at most one batch for each outage",
    repeats <= outages * BATCH_ITEMS ? null : `${repeats} of ${outages} outages (seed ${seed})`,
  );
  findings.value(`${name}.kills_before_the_last_item`, hits, "kills", { value: outages, name: "all" });
  findings.value(`${name}.repeated`, repeats, "items", { value: received.length, name: "all that arrived" });
}

/** What the agent tells ilert. */
class Polls {
  count = 0;
  /** The last item that it moved past. */
  settled = 0;

  add(path: string): void {
    this.count++;
    this.settled = Number(/after-id=(\d+)/.exec(path)?.[1] ?? 0);
  }
}

function numberOf(body: string): number {
  return JSON.parse(body).n;
}
