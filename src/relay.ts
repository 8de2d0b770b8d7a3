/** Composition root of the relay: sources (HTTP, MQTT, Kafka) → queue → delivery → ilert. */

import type { Enrichment } from "./domain/enrichment.ts";
import { PrometheusMetrics } from "./clients/prometheus.ts";
import { Alarm } from "./delivery/alarm.ts";
import { DeliveryLoop } from "./delivery/delivery_loop.ts";
import { HeartbeatLoop } from "./delivery/heartbeat_loop.ts";
import { IlertApi } from "./ilert/api.ts";
import type { QueueLimits } from "./queue/bounds.ts";
import { SqliteQueue } from "./queue/sqlite_queue.ts";
import { deliveryStateOf, figuresOf, readinessOf, storageWatch, troublesOf } from "./relay/figures.ts";
import { routesOf } from "./relay/routes.ts";
import { aborted } from "./runtime/aborted.ts";
import type { Clock } from "./runtime/clock.ts";
import { every } from "./runtime/every.ts";
import type { Log } from "./runtime/log.ts";
import { HttpServer, type ServerConfig } from "./server/http_server.ts";
import type { ConsumersConfig } from "./sources/consumers_config.ts";
import { HttpSource } from "./sources/http.ts";

export interface RelayConfig {
  /** Absolute path of the SQLite file. */
  file: string;
  server: ServerConfig | null;
  /** Null without a broker. */
  consumers: ConsumersConfig | null;
  heartbeatKey: string | null;
  apiHost: string;
  heartbeatHost: string;
  deliveryConcurrency: number;
  retriesMax: number;
  enrichment: Enrichment;
  limits: QueueLimits;
  heartbeatRequiresReady: boolean;
  alarmKey: string | null;
  shutdownTimeoutMs: number;
}

export interface RelayDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
  /** A Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
}

/** How soon the agent sees what `ilagent queue` and `ilagent deadletter` have changed. */
const NOTICE_MS = 500;

/** Runs until `stop` is aborted and all in hand is settled or given back. Throws `StartupFailure`. */
export async function runRelay(config: RelayConfig, deps: RelayDeps, stop: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  await using stack = new AsyncDisposableStack();
  const queue = stack.use(SqliteQueue.open(config.file, config.limits, clock));
  // One way to ilert leads out of the file, the other past it.
  const connections = config.deliveryConcurrency * (config.consumers === null ? 1 : 2);
  const ilert = stack.use(new IlertApi({ ...config, connections }, () => clock.now()));
  const metrics = new PrometheusMetrics();
  const limits = { concurrency: config.deliveryConcurrency, retriesMax: config.retriesMax };
  const delivery = new DeliveryLoop(queue, ilert, limits, { ...deps, observer: metrics });
  const consumers = config.consumers === null ? null : stack.use(
    await (await import("./relay/consumers.ts")).openConsumers(
      config.consumers,
      { ...limits, apiHost: config.apiHost },
      { ...deps, queue, ilert, observer: metrics },
    ),
  );
  const events = stack.use(new HttpSource(queue, config.enrichment, log));
  const readiness = () => readinessOf(queue, consumers);
  const expose = () => metrics.expose(figuresOf(queue, delivery, consumers, clock));
  const server = config.server === null
    ? null
    : new HttpServer(config.server, routesOf(events, ilert, readiness, expose, log), log);

  server?.start();
  delivery.start();
  consumers?.start();
  if (config.heartbeatKey !== null) {
    const isFit = () => readiness() === null && deliveryStateOf(delivery, consumers).outageSince === null;
    const mayBeat = () => !config.heartbeatRequiresReady || isFit();
    stack.use(new HeartbeatLoop(ilert, config.heartbeatKey, mayBeat, deps)).start();
  }
  let deadBefore = queue.counts.dead;
  if (config.alarmKey !== null) {
    stack.use(new Alarm(ilert, config.alarmKey, () => troublesOf(queue, deadBefore), deps)).start();
  }
  const watchStorage = storageWatch(queue, log);
  stack.use(every(NOTICE_MS, clock, () => {
    if (queue.noticeChanges()) consumers?.noticeChanges();
    // Once they are purged or retried, new ones are told of from the first.
    deadBefore = Math.min(deadBefore, queue.counts.dead);
    watchStorage();
  }));
  log.info("Ready; {queued} events queued, {dead} dead letters", { ...queue.counts });
  if (consumers === null) warnOfMessages(queue, log);

  await aborted(stop);
  server?.refuse();
  log.info("Shutting down; up to {seconds} s for what is in hand", {
    seconds: config.shutdownTimeoutMs / 1000,
  });
  const requests = server === null
    ? Promise.resolve()
    : withTimeout(server.drained(), config.shutdownTimeoutMs, clock);
  await Promise.all([
    requests,
    consumers?.stop(config.shutdownTimeoutMs),
    delivery.stop(config.shutdownTimeoutMs),
  ]);
  await server?.close();
  log.info("Stopped; {queued} events stay queued", { queued: queue.counts.queued });
}

/** Only the flags of the consumers tell what these messages mean. */
function warnOfMessages(queue: SqliteQueue, log: Log): void {
  const count = queue.messages.count();
  if (count === 0) return;
  log.warn(
    "{count} messages of a broker are in the queue and stay there: start the agent with --mqtt_host, --event_topic and " +
      "the mapping flags it had, or remove them with 'ilagent queue drop'",
    { count },
  );
}

async function withTimeout(work: Promise<void>, timeoutMs: number, clock: Clock): Promise<void> {
  let cancel = () => {};
  const timeout = new Promise<void>((resolve) => cancel = clock.after(timeoutMs, resolve));
  await Promise.race([work, timeout]);
  cancel();
}
