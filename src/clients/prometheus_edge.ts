/** The edge connector's figures in Prometheus' text format. */

import { Counter, Gauge, Registry } from "./prom_client.ts";

/** What is read at the moment of a scrape. */
export interface EdgeFigures {
  accepted: number;
  delivered: number;
  purged: number;
  queued: number;
  dead: number;
  inHand: number;
  lagSeconds: number;
  late: boolean;
  polling: boolean;
  /** Null before ilert has said, and without high availability. */
  role: "leader" | "standby" | null;
  storageFailing: boolean;
}

/** Counted one by one, because they mean a wrong token or URL. */
const STATUSES_APART: ReadonlySet<number> = new Set([401, 403, 404]);

/** Per run: `received = delivered + skipped + given back + in hand`. No id is ever a label. */
export class EdgePrometheusMetrics {
  readonly #registry = new Registry();
  readonly #polls: Counter<"result">;
  readonly #received: Counter;
  readonly #delivered: Counter;
  readonly #skipped: Counter<"status">;
  readonly #givenBack: Counter;
  readonly #stopped: Counter;
  readonly #role: Gauge<"role">;
  readonly #gauges: { set(figures: EdgeFigures): void }[];

  constructor() {
    const registers = [this.#registry];
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    this.#polls = new Counter({
      name: "ilagent_edge_polls_total",
      help: "Polls by what came of them: items, empty, standby or failed",
      labelNames: ["result"],
      registers,
    });
    this.#received = counter("ilagent_edge_items_received_total", "Items that polls brought");
    this.#delivered = counter("ilagent_edge_items_delivered_total", "Items the target has taken");
    this.#skipped = new Counter({
      name: "ilagent_edge_items_skipped_total",
      help: "Items that became dead letters, by status: 401, 403, 404, 4xx, or none without one",
      labelNames: ["status"],
      registers,
    });
    this.#givenBack = counter("ilagent_edge_items_given_back_total", "Items left for a later poll");
    this.#stopped = counter(
      "ilagent_edge_deliveries_stopped_total",
      "Retryable failures, after each of which the same item is tried with the next poll",
    );
    this.#role = new Gauge({
      name: "ilagent_edge_role",
      help: "1 for the role of this agent in its cluster",
      labelNames: ["role"],
      registers,
    });
    const gauge = (name: string, help: string, of: (figures: EdgeFigures) => number) => {
      const shown = new Gauge({ name, help, registers });
      return { set: (figures: EdgeFigures) => shown.set(of(figures)) };
    };
    this.#gauges = [
      gauge("ilagent_edge_items_in_hand", "Items of the last poll that are not settled yet", (f) => f.inHand),
      gauge(
        "ilagent_edge_lag_seconds",
        "Age of the oldest event that is not delivered, as far as it is known",
        (f) => f.lagSeconds,
      ),
      gauge("ilagent_edge_late", "1 while that age is beyond --edge_max_lag", (f) => Number(f.late)),
      gauge("ilagent_edge_polling", "1 while polls succeed", (f) => Number(f.polling)),
      gauge("ilagent_queue_events", "Dead letters that are to be delivered again", (f) => f.queued),
      gauge("ilagent_dead_letters", "Dead letters kept", (f) => f.dead),
      gauge("ilagent_ledger_accepted", "The ledger: items that ever became dead letters", (f) => f.accepted),
      gauge("ilagent_ledger_delivered", "The ledger: of them those delivered again", (f) => f.delivered),
      gauge("ilagent_ledger_purged", "The ledger: of them those an operator removed", (f) => f.purged),
      gauge("ilagent_storage_failing", "1 while the disk refuses writes", (f) => Number(f.storageFailing)),
    ];
  }

  polled(result: "items" | "empty" | "standby" | "failed"): void {
    this.#polls.inc({ result });
  }

  received(items: number): void {
    this.#received.inc(items);
  }

  delivered(): void {
    this.#delivered.inc();
  }

  skipped(status: number | null): void {
    this.#skipped.inc({ status: labelOf(status) });
  }

  givenBack(items: number): void {
    this.#givenBack.inc(items);
  }

  stopped(): void {
    this.#stopped.inc();
  }

  async expose(figures: EdgeFigures): Promise<{ contentType: string; text: string }> {
    for (const gauge of this.#gauges) gauge.set(figures);
    if (figures.role !== null) {
      for (const role of ["leader", "standby"]) this.#role.set({ role }, Number(role === figures.role));
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

function labelOf(status: number | null): string {
  if (status === null) return "none";
  return STATUSES_APART.has(status) ? String(status) : `${Math.floor(status / 100)}xx`;
}
