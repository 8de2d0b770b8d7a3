/** Composition root of the relay: sources → queue → delivery → ilert. */

import type { Enrichment } from "./domain/enrichment.ts";
import { type Figures, PrometheusMetrics } from "./clients/prometheus.ts";
import { Alarm, type Troubles } from "./delivery/alarm.ts";
import { DeliveryLoop } from "./delivery/delivery_loop.ts";
import { HeartbeatLoop } from "./delivery/heartbeat_loop.ts";
import { IlertApi } from "./ilert/api.ts";
import type { QueueLimits } from "./queue/bounds.ts";
import { SqliteQueue } from "./queue/sqlite_queue.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Log } from "./runtime/log.ts";
import { redactKey } from "./runtime/redact.ts";
import { error, json } from "./server/answers.ts";
import { HttpServer, type Readiness, type Routes, type ServerConfig } from "./server/http_server.ts";
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
}

/** Of the nearest bound. */
const NEARLY_FULL = 0.8;

/** A ping in hand at the shutdown gets its answer, as every request does. */
const NO_SIGNAL = new AbortController().signal;

/** How soon the agent sees what `ilagent queue` and `ilagent deadletter` have changed. */
const NOTICE_MS = 500;

/** Pings in flight on behalf of others; beyond it a sender is told to come back. */
const PROXIED_PINGS_MAX = 32;

/** Runs until `stop` is aborted and all in hand is settled or given back. Throws `StartupFailure`. */
export async function runRelay(config: RelayConfig, deps: RelayDeps, stop: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  await using stack = new AsyncDisposableStack();
  const queue = stack.use(SqliteQueue.open(config.file, config.limits, clock));
  const ilert = stack.use(
    new IlertApi({ ...config, connections: config.deliveryConcurrency }, () => clock.now()),
  );
  const metrics = new PrometheusMetrics();
  const delivery = new DeliveryLoop(
    queue,
    ilert,
    { concurrency: config.deliveryConcurrency, retriesMax: config.retriesMax },
    { ...deps, observer: metrics },
  );
  const events = stack.use(new HttpSource(queue, config.enrichment, log));
  const server = config.server === null ? null : new HttpServer(
    config.server,
    routesOf(
      events,
      ilert,
      () => readinessOf(queue),
      () => metrics.expose(figuresOf(queue, delivery, clock)),
      log,
    ),
    log,
  );

  server?.start();
  delivery.start();
  if (config.heartbeatKey !== null) {
    const mayBeat = () =>
      !config.heartbeatRequiresReady || (queue.failure === null && delivery.state.outageSince === null);
    stack.use(new HeartbeatLoop(ilert, config.heartbeatKey, mayBeat, deps)).start();
  }
  if (config.alarmKey !== null) {
    const deadAtStart = queue.counts.dead;
    stack.use(new Alarm(ilert, config.alarmKey, () => troublesOf(queue, deadAtStart), deps)).start();
  }
  const watchStorage = storageWatch(queue, log);
  stack.use(every(NOTICE_MS, clock, () => {
    queue.noticeChanges();
    watchStorage();
  }));
  log.info("Ready; {queued} events queued, {dead} dead letters", { ...queue.counts });

  await aborted(stop);
  server?.refuse();
  log.info("Shutting down; up to {seconds} s for what is in hand", {
    seconds: config.shutdownTimeoutMs / 1000,
  });
  const requests = server === null
    ? Promise.resolve()
    : withTimeout(server.drained(), config.shutdownTimeoutMs, clock);
  await Promise.all([requests, delivery.stop(config.shutdownTimeoutMs)]);
  await server?.close();
  log.info("Stopped; {queued} events stay queued", { queued: queue.counts.queued });
}

function routesOf(
  events: HttpSource,
  ilert: IlertApi,
  readiness: () => Readiness,
  metrics: Routes["metrics"],
  log: Log,
): Routes {
  let pings = 0;
  return {
    readiness,
    metrics,
    event: (request) => events.accept(request),
    async heartbeat(key) {
      if (pings >= PROXIED_PINGS_MAX) return error(500, "Too many heartbeats are under way.");
      pings++;
      const result = await ilert.ping(key, NO_SIGNAL).finally(() => pings--);
      if (result.ok) return json(202, {});
      log.warn("Heartbeat {key} could not be proxied: {reason}", {
        key: redactKey(key),
        reason: result.reason,
      });
      return error(500, `Failed to proxy heartbeat: ${result.reason}.`);
    },
  };
}

function readinessOf(queue: SqliteQueue): Readiness {
  const error = queue.failure ?? queue.full;
  return error === null ? null : { component: "daemon", error };
}

/** Says once when the queue stops taking events, and once when it takes them again. */
function storageWatch(queue: SqliteQueue, log: Log): () => void {
  let told: string | null = null;
  return () => {
    const trouble = queue.failure ?? queue.full;
    if (trouble === told) return;
    if (trouble === null) log.warn("Events are accepted again");
    else log.error("No events are accepted: {trouble}", { trouble });
    told = trouble;
  };
}

function figuresOf(queue: SqliteQueue, delivery: DeliveryLoop, clock: Clock): Figures {
  const oldestAt = queue.oldestAcceptedAt();
  const { inFlight, pausedKeys, outageSince } = delivery.state;
  return {
    ...queue.ledger,
    ...queue.counts,
    fill: queue.fill,
    oldestSeconds: oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt) / 1000,
    inFlight,
    pausedKeys,
    outage: outageSince !== null,
    storageFailing: queue.failure !== null,
  };
}

function troublesOf(queue: SqliteQueue, deadAtStart: number): Troubles {
  const troubles = new Map<string, string>();
  const { failure, fill, counts } = queue;
  if (failure !== null) troubles.set("disk", `ilagent cannot store events: ${failure}.`);
  if (fill >= NEARLY_FULL) troubles.set("queue-full", `ilagent's queue is ${Math.floor(fill * 100)}% full.`);
  if (counts.dead > deadAtStart) {
    troubles.set("dead-letters", `ilagent has ${counts.dead} dead letters; see 'ilagent deadletter list'.`);
  }
  return troubles;
}

function every(intervalMs: number, clock: Clock, callback: () => void): Disposable {
  let cancel = () => {};
  const arm = () => {
    cancel = clock.after(intervalMs, () => {
      arm();
      callback();
    });
  };
  arm();
  return { [Symbol.dispose]: () => cancel() };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

async function withTimeout(work: Promise<void>, timeoutMs: number, clock: Clock): Promise<void> {
  let cancel = () => {};
  const timeout = new Promise<void>((resolve) => cancel = clock.after(timeoutMs, resolve));
  await Promise.race([work, timeout]);
  cancel();
}
