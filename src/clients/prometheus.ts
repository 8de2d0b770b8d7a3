/** The agent's figures in Prometheus' text format. */

import { Counter, Gauge, Histogram, Registry } from "./prom_client.ts";

/** What is read at the moment of a scrape. */
export interface Figures {
  accepted: number;
  delivered: number;
  purged: number;
  queued: number;
  dead: number;
  /** Of the nearest bound of the queue, from 0 to 1. */
  fill: number;
  oldestSeconds: number;
  inFlight: number;
  pausedKeys: number;
  outage: boolean;
  storageFailing: boolean;
  /** Of each broker. */
  messages: readonly MessageFigures[];
}

/** `received` is the sum of all that are settled and those in flight. */
export interface MessageFigures {
  source: string;
  received: number;
  inFlight: number;
  settled: Readonly<Record<string, number>>;
}

/** From a local answer to the longest backoff and beyond. */
const AGE_BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 3_600, 21_600];
const ATTEMPT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** No integration or alert key is ever a label: they are secrets, and without bound. */
export class PrometheusMetrics {
  readonly #registry = new Registry();
  readonly #attempts: Counter<"status">;
  readonly #attemptSeconds: Histogram;
  readonly #ageSeconds: Histogram;
  readonly #gauges: { set(figures: Figures): void }[];
  /** The ledger's totals, which survive restarts: counters that jump to where they stand. */
  readonly #totals: { counter: Counter; of: (figures: Figures) => number; shown: number }[];
  readonly #messages: MessageMetrics;

  constructor() {
    const registers = [this.#registry];
    this.#attempts = new Counter({
      name: "ilagent_delivery_attempts_total",
      help: "Attempts to deliver an event, by the status ilert answered; none where there was no answer",
      labelNames: ["status"],
      registers,
    });
    this.#attemptSeconds = new Histogram({
      name: "ilagent_delivery_attempt_seconds",
      help: "Time of one attempt",
      buckets: ATTEMPT_BUCKETS,
      registers,
    });
    this.#ageSeconds = new Histogram({
      name: "ilagent_delivery_age_seconds",
      help: "Time from accepting an event to its delivery",
      buckets: AGE_BUCKETS,
      registers,
    });
    const total = (name: string, help: string, of: (figures: Figures) => number) => ({
      counter: new Counter({ name, help, registers }),
      of,
      shown: 0,
    });
    this.#totals = [
      total(
        "ilagent_events_accepted_total",
        "Events made durable, over all runs on this file",
        (f) => f.accepted,
      ),
      total("ilagent_events_delivered_total", "Events taken by ilert, over all runs", (f) => f.delivered),
      total("ilagent_events_purged_total", "Events removed by an operator, over all runs", (f) => f.purged),
    ];
    this.#messages = new MessageMetrics(this.#registry);
    const gauge = (name: string, help: string, of: (figures: Figures) => number) => {
      const shown = new Gauge({ name, help, registers });
      return { set: (figures: Figures) => shown.set(of(figures)) };
    };
    this.#gauges = [
      gauge("ilagent_queue_events", "Events queued", (f) => f.queued),
      gauge("ilagent_dead_letters", "Dead letters kept", (f) => f.dead),
      gauge(
        "ilagent_queue_fill_ratio",
        "How near the nearest bound is; the intake closes at 1",
        (f) => f.fill,
      ),
      gauge("ilagent_queue_oldest_seconds", "Age of the oldest queued event", (f) => f.oldestSeconds),
      gauge("ilagent_deliveries_in_flight", "Deliveries in flight", (f) => f.inFlight),
      gauge("ilagent_paused_keys", "Integration keys paused by a rate limit", (f) => f.pausedKeys),
      gauge(
        "ilagent_outage",
        "1 while ilert does not take events and is only probed",
        (f) => Number(f.outage),
      ),
      gauge("ilagent_storage_failing", "1 while the disk refuses writes", (f) => Number(f.storageFailing)),
    ];
  }

  attempted(status: number | null, seconds: number): void {
    this.#attempts.inc({ status: status ?? "none" });
    this.#attemptSeconds.observe(seconds);
  }

  delivered(ageSeconds: number): void {
    this.#ageSeconds.observe(ageSeconds);
  }

  async expose(figures: Figures): Promise<{ contentType: string; text: string }> {
    for (const gauge of this.#gauges) gauge.set(figures);
    this.#messages.set(figures.messages);
    for (const total of this.#totals) {
      const value = total.of(figures);
      total.counter.inc(value - total.shown);
      total.shown = value;
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

/** What came from brokers since the start. */
class MessageMetrics {
  readonly #received: Counter<"source">;
  readonly #settled: Counter<"source" | "outcome">;
  readonly #inFlight: Gauge<"source">;
  readonly #shown = new Map<string, number>();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#received = new Counter({
      name: "ilagent_messages_received_total",
      help: "Messages received from a broker",
      labelNames: ["source"],
      registers,
    });
    this.#settled = new Counter({
      name: "ilagent_messages_settled_total",
      help: "Messages that their broker may forget, or took back (given_back), by what became of them",
      labelNames: ["source", "outcome"],
      registers,
    });
    this.#inFlight = new Gauge({
      name: "ilagent_messages_in_flight",
      help: "Messages received and not settled: received = settled + in flight",
      labelNames: ["source"],
      registers,
    });
  }

  set(messages: readonly MessageFigures[]): void {
    for (const { source, received, inFlight, settled } of messages) {
      this.#received.inc({ source }, this.#growth(source, received));
      for (const [outcome, count] of Object.entries(settled)) {
        this.#settled.inc({ source, outcome }, this.#growth(`${source} ${outcome}`, count));
      }
      this.#inFlight.set({ source }, inFlight);
    }
  }

  #growth(name: string, count: number): number {
    const growth = count - (this.#shown.get(name) ?? 0);
    this.#shown.set(name, count);
    return growth;
  }
}
