/** Composition root of the edge connector: ilert → poller → sink → cursor. */

import { type EdgeFigures, EdgePrometheusMetrics } from "./clients/prometheus_edge.ts";
import { Alarm, type Troubles } from "./delivery/alarm.ts";
import { HeartbeatLoop } from "./delivery/heartbeat_loop.ts";
import type { EdgeConfig } from "./edge/edge_config.ts";
import { EdgeHealth } from "./edge/edge_health.ts";
import { EdgeLoop } from "./edge/edge_loop.ts";
import { KeptProgress, type Progress, ReportedProgress } from "./edge/progress.ts";
import { Settler } from "./edge/settler.ts";
import { IlertApi } from "./ilert/api.ts";
import { EdgeApi } from "./ilert/edge_api.ts";
import { agentIdOf } from "./queue/agent_id.ts";
import { SqliteEdgeStore } from "./queue/sqlite_edge_store.ts";
import { aborted } from "./runtime/aborted.ts";
import type { Clock } from "./runtime/clock.ts";
import { every } from "./runtime/every.ts";
import type { Log } from "./runtime/log.ts";
import { error } from "./server/answers.ts";
import { HttpServer, type Readiness, type Routes } from "./server/http_server.ts";
import { createSink } from "./sinks/create_sink.ts";

export interface EdgeDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
  /** Leads to the worker that runs the script; null in other modes. */
  script: MessagePort | null;
  /** Told `host:port` of a Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
}

/** Key of the output that the run before may have left in the middle of a line. */
const OPEN_LINE = "edge_stdout_open_line";

/** How soon the agent sees what `ilagent deadletter` has changed. */
const NOTICE_MS = 500;

/** How long the end waits for a file that takes no writes. A backup, for example, holds it for seconds. */
const WRITING_MAX_MS = 5_000;
/** And where the time for the shutdown is over: a write that nothing hinders. */
const WRITING_MIN_MS = 200;

/** Runs until `stop` is aborted, or nobody reads stdout any more, and the delivery in hand is settled. Throws `StartupFailure`. */
export async function runEdge(config: EdgeConfig, deps: EdgeDeps, stop: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await SqliteEdgeStore.open(config, clock));
  const health = new EdgeHealth(config.lagMaxMs, deps);
  const closed = new AbortController();
  const sink = stack.use(
    await createSink(config.sink, {
      ...deps,
      stdout: {
        onClosed: () => {
          closed.abort();
          settler.abort();
        },
        onStalled: (ms) => ms === null ? health.goesOn() : health.waits("nobody reads standard output", ms),
        openLine: {
          get: () => store.values.get(OPEN_LINE) ?? "",
          set: (output) => store.values.note(OPEN_LINE, output),
        },
      },
      agentId: () => agentIdOf(store.values),
    }),
  );
  const source = stack.use(new EdgeApi(config, () => clock.now()));
  const ilert = stack.use(new IlertApi({ ...config, connections: 1 }, () => clock.now()));
  const metrics = new EdgePrometheusMetrics();
  const observed = { ...deps, health, observer: metrics };
  const progress = config.cluster === null ? new KeptProgress(store) : new ReportedProgress(config.cluster);
  const settler = new Settler(sink, store, progress, observed);
  const intervals = { pollMs: config.pollIntervalMs, standbyMs: config.standbyIntervalMs };
  const loop = new EdgeLoop(source, settler, progress, intervals, observed);
  const readiness = () => readinessOf(store, health);
  const figures = () => figuresOf(store, loop, health, progress);
  const server = config.server === null ? null : new HttpServer(
    // There is nothing to guard: both `/api` paths answer with the same 404 for everyone.
    { ...config.server, intakeToken: null },
    routesOf(readiness, () => metrics.expose(figures())),
    log,
  );

  server?.start();
  if (config.heartbeatKey !== null) {
    const mayBeat = () => !config.heartbeatRequiresReady || readiness() === null;
    stack.use(new HeartbeatLoop(ilert, config.heartbeatKey, mayBeat, deps)).start();
  }
  let deadBefore = store.counts.dead;
  if (config.alarmKey !== null) {
    stack.use(new Alarm(ilert, config.alarmKey, () => troublesOf(store, health, deadBefore), deps)).start();
  }
  store.onReturned(() => loop.notice());
  const watchStorage = storageWatch(store, log);
  stack.use(every(NOTICE_MS, clock, () => {
    store.noticeChanges();
    // Once they are purged or retried, new ones are told of from the first.
    deadBefore = Math.min(deadBefore, store.counts.dead);
    health.watchLag();
    watchStorage();
  }));
  loop.start();
  log.info("Ready; edge mode {mode}, {from}, {dead} dead letters", {
    mode: config.sink.kind,
    from: config.cluster === null ? `after item ${store.cursor}` : `in cluster ${config.cluster.clusterId}`,
    dead: store.counts.dead,
  });
  warnOfBystanders(store, log);

  await aborted(AbortSignal.any([stop, closed.signal]));
  if (closed.signal.aborted) log.warn("Nobody reads stdout any more");
  server?.refuse();
  log.info("Shutting down; up to {seconds} s for what is in hand", {
    seconds: config.shutdownTimeoutMs / 1000,
  });
  const deadline = clock.monotonic() + config.shutdownTimeoutMs;
  await loop.stop(config.shutdownTimeoutMs);
  const leftMs = Math.min(deadline - clock.monotonic(), WRITING_MAX_MS);
  if (!await store.written(Math.max(leftMs, WRITING_MIN_MS))) {
    log.warn(
      "The last cursor or dead letter was not written ({reason}): its item may come again with the next start",
      { reason: store.failure ?? "another process holds the file" },
    );
  }
  await server?.close();
  log.info("Stopped");
}

/** Only other flags, or another key, deliver them. */
function warnOfBystanders(store: SqliteEdgeStore, log: Log): void {
  const { events, items } = store.bystanders();
  const remedy = "or remove them with 'ilagent queue drop'";
  if (events > 0) {
    log.warn(
      `{events} events of the relay are in this file and stay there: start the agent without --edge_mode, ${remedy}`,
      { events },
    );
  }
  if (items > 0) {
    log.warn(
      `{items} returned items of another edge connection are in this file and stay there: start the agent with its key, ${remedy}`,
      { items },
    );
  }
}

function routesOf(readiness: Routes["readiness"], metrics: Routes["metrics"]): Routes {
  const notHere = () =>
    Promise.resolve(
      error(404, "This agent is an edge connector (--edge_mode): it takes no events or heartbeats."),
    );
  return { readiness, metrics, event: notHere, heartbeat: notHere };
}

function readinessOf(store: SqliteEdgeStore, health: EdgeHealth): Readiness {
  const error = store.failure ?? health.error;
  return error === null ? null : { component: "edge_connector", polling: health.isPolling, error };
}

function figuresOf(
  store: SqliteEdgeStore,
  loop: EdgeLoop,
  health: EdgeHealth,
  { role }: Progress,
): EdgeFigures {
  return {
    ...store.ledger,
    ...store.counts,
    inHand: loop.inHand,
    lagSeconds: health.lagMs / 1000,
    late: health.isLate,
    polling: health.isPolling,
    role,
    storageFailing: store.failure !== null,
  };
}

/** `deadBefore` are dead letters that nobody is to be told of. */
function troublesOf(store: SqliteEdgeStore, health: EdgeHealth, deadBefore: number): Troubles {
  const troubles = new Map<string, string>();
  const { failure, counts } = store;
  if (failure !== null) troubles.set("disk", `ilagent cannot keep its cursor and dead letters: ${failure}.`);
  if (health.isLate) {
    const hours = Math.floor(health.lagMs / 3_600_000);
    troubles.set("edge-lag", `Events may be ${hours} hours late; ilert drops them after 7 days.`);
  }
  if (counts.dead > deadBefore) {
    troubles.set("dead-letters", `ilagent has ${counts.dead} dead letters; see 'ilagent deadletter list'.`);
  }
  return troubles;
}

/** Says once when the disk refuses writes, and once when it takes them again. */
function storageWatch(store: SqliteEdgeStore, log: Log): () => void {
  let told: string | null = null;
  return () => {
    const { failure } = store;
    if (failure === told) return;
    if (failure === null) log.warn("The cursor and dead letters are written again");
    else log.error("The cursor and dead letters cannot be written: {failure}", { failure });
    told = failure;
  };
}
