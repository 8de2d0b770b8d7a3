/** The brokers' side of the relay: sources → router → the queue, or past it to ilert. */

import type { MessageFigures } from "../clients/prometheus.ts";
import { type DeliveryConfig, DeliveryLoop, type DeliveryObserver } from "../delivery/delivery_loop.ts";
import { HeartbeatPings } from "../delivery/heartbeat_pings.ts";
import { PolicyUpdates } from "../delivery/policy_updates.ts";
import type { MessageMapping } from "../domain/mapping.ts";
import type { TopicPatterns } from "../domain/mapping_config.ts";
import type { BrokerKind } from "../domain/topics.ts";
import type { IlertApi } from "../ilert/api.ts";
import { PolicyApi } from "../ilert/policy_api.ts";
import { agentIdOf } from "../queue/agent_id.ts";
import { DirectQueue } from "../queue/direct_queue.ts";
import type { SqliteQueue } from "../queue/sqlite_queue.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Readiness } from "../server/http_server.ts";
import type { ConsumersConfig } from "../sources/consumers_config.ts";
import { bufferedEvents, directEvents } from "../sources/event_intakes.ts";
import type { KafkaSource } from "../sources/kafka.ts";
import { MessageBacklog } from "../sources/message_backlog.ts";
import { MessageCounts } from "../sources/message_counts.ts";
import { MessageRouter } from "../sources/message_router.ts";
import type { MqttSource } from "../sources/mqtt.ts";
import { PolicyIntake, type PolicyUpdater } from "../sources/policy_intake.ts";
import { rememberedTopics } from "./remembered_topics.ts";

export interface ConsumersDeps {
  queue: SqliteQueue;
  ilert: IlertApi;
  observer: DeliveryObserver;
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
  /** A Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
}

/** What was settled at the end is acknowledged within this; the rest goes back to its broker. */
const ACKNOWLEDGE_MS = 1_000;
const READING_BACKLOG = "the messages that the queue still holds are being read";

/** Updates under way at one time are far fewer. */
const POLICY_CONNECTIONS = 8;

/** A broker's messages, from where they come in to where they are counted. */
interface Intake {
  broker: BrokerKind;
  counts: MessageCounts;
  source: { start(): void; stop(timeoutMs: number): Promise<void> };
  readiness: () => Readiness;
}

/** Null where there is no such broker: its client is not even evaluated then. */
interface BrokerSources {
  mqtt: typeof MqttSource | null;
  kafka: typeof KafkaSource | null;
}

export async function openConsumers(
  config: ConsumersConfig,
  delivery: DeliveryConfig & { apiHost: string },
  deps: ConsumersDeps,
): Promise<Consumers> {
  const sources = {
    mqtt: config.mqtt === null ? null : (await import("../sources/mqtt.ts")).MqttSource,
    kafka: config.kafka === null ? null : (await import("../sources/kafka.ts")).KafkaSource,
  };
  return new Consumers(config, sources, delivery, deps);
}

export class Consumers implements AsyncDisposable {
  readonly #deps: ConsumersDeps;
  readonly #pings: HeartbeatPings;
  readonly #policies: PolicyUpdater;
  readonly #backlog: MessageBacklog;
  readonly #direct: DirectQueue;
  readonly #directLoop: DeliveryLoop;
  readonly #intakes: Intake[];
  readonly #stack = new AsyncDisposableStack();
  #isReading = true;
  #isStopping = false;

  constructor(
    config: ConsumersConfig,
    sources: BrokerSources,
    delivery: DeliveryConfig & { apiHost: string },
    deps: ConsumersDeps,
  ) {
    const { queue, ilert, clock } = deps;
    this.#deps = deps;
    this.#pings = new HeartbeatPings(ilert, deps);
    this.#policies = this.#openPolicies(config, delivery);
    const mappings = { mqtt: mappingOf("mqtt", config), kafka: mappingOf("kafka", config) };
    this.#backlog = this.#stack.use(
      new MessageBacklog(queue.messages, mappings, { ...deps, pings: this.#pings, updater: this.#policies }),
    );
    this.#direct = this.#stack.use(new DirectQueue(queue.messages, clock));
    this.#directLoop = new DeliveryLoop(this.#direct, ilert, delivery, deps);
    this.#intakes = [
      ...this.#mqtt(config, sources, mappings.mqtt),
      ...this.#kafka(config, sources, mappings.kafka),
    ];
  }

  /** Begins with what the file still holds, so that nothing overtakes it; then the sources. */
  start(): void {
    this.#directLoop.start();
    void this.#backlog.drain().then(() => {
      this.#isReading = false;
      if (!this.#isStopping) this.#intakes.forEach(({ source }) => source.start());
    });
  }

  /** Of the first that is not ready. */
  get readiness(): Readiness {
    if (this.#isReading) return { component: "daemon", error: READING_BACKLOG };
    for (const { readiness } of this.#intakes) {
      const problem = readiness();
      if (problem !== null) return problem;
    }
    return null;
  }

  get figures(): MessageFigures[] {
    return this.#intakes.map(({ broker, counts: { received, inFlight, settled } }) => ({
      ...{ source: broker, received, inFlight, settled },
    }));
  }

  get deliveryState(): DeliveryLoop["state"] {
    return this.#directLoop.state;
  }

  /** Another process has changed the file. */
  noticeChanges(): void {
    void this.#backlog.drain();
  }

  /** Lets what is on its way to ilert arrive, acknowledges it and leaves the brokers; they keep the rest. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    await Promise.all([this.#directLoop.stop(timeoutMs), this.#pings.stop(timeoutMs)]);
    await Promise.all(this.#intakes.map(({ source }) => source.stop(Math.min(timeoutMs, ACKNOWLEDGE_MS))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #openPolicies({ policy }: ConsumersConfig, { apiHost, retriesMax }: DeliveryConfig & { apiHost: string }) {
    // Without a policy topic no message is mapped to an update.
    const config = { apiHost, apiKey: policy?.apiKey ?? "", connections: POLICY_CONNECTIONS };
    const api = this.#stack.use(new PolicyApi(config, this.#deps.clock));
    return new PolicyUpdates(api, retriesMax, this.#deps);
  }

  #mqtt(
    { mqtt, mapping }: ConsumersConfig,
    { mqtt: Source }: BrokerSources,
    messages: MessageMapping,
  ): Intake[] {
    if (mqtt === null || Source === null) return [];
    const { queue: { values }, log } = this.#deps;
    const { router, counts } = this.#router(messages, mqtt.isBuffered);
    const clientId = mqtt.connection.clientId ?? agentIdOf(values);
    const deps = { ...this.#deps, rememberedTopics: rememberedTopics(values, log) };
    const source = this.#stack.use(new Source(mqtt, clientId, topicsOf(mapping.topics), router, deps));
    return [{ broker: "mqtt", counts, source, readiness: () => source.readiness }];
  }

  #kafka(
    { kafka, mapping }: ConsumersConfig,
    { kafka: Source }: BrokerSources,
    messages: MessageMapping,
  ): Intake[] {
    if (kafka === null || Source === null) return [];
    const { router, counts } = this.#router(messages, false);
    const source = this.#stack.use(new Source(kafka, topicsOf(mapping.topics), router, this.#deps));
    return [{ broker: "kafka", counts, source, readiness: () => source.readiness() }];
  }

  #router(mapping: MessageMapping, isBuffered: boolean): { router: MessageRouter; counts: MessageCounts } {
    const { queue, clock } = this.#deps;
    const { messages } = queue;
    const hasRoom = () => queue.full === null && queue.failure === null;
    const policies = new PolicyIntake(isBuffered, this.#policies, this.#backlog, messages, clock);
    const counts = new MessageCounts();
    const router = new MessageRouter(
      mapping,
      {
        events: isBuffered ? bufferedEvents(queue) : directEvents(this.#direct),
        policies: { hasRoom, take: (update, message, signal) => policies.take(update, message, signal) },
        letters: { hasRoom, bury: (letter) => messages.bury(letter) },
        pings: this.#pings,
      },
      counts,
      this.#deps,
    );
    return { router: this.#stack.use(router), counts };
  }
}

function mappingOf(broker: BrokerKind, { mapping, policy }: ConsumersConfig): MessageMapping {
  return { broker, mapping, policy: policy?.mapping ?? null };
}

function topicsOf({ event, heartbeat, policy }: TopicPatterns): string[] {
  return [...new Set([event, heartbeat, policy].filter((topic) => topic !== null))];
}
