/**
 * The edge connections of an emulated ilert: items to hand out, and per cluster one leader. A leader that has not
 * asked for `leaderSilenceMs` loses its place to the next one that asks.
 */

import { failure, type IlertAnswer, JSON_HEADERS, respond } from "./ilert_answers.ts";

export interface EdgeOptions {
  /** Answers 401 to other connector keys. Default: every key is known. */
  edgeKey?: string;
  /** Default 30,000. */
  leaderSilenceMs?: number;
}

export interface EdgeClusterState {
  leader: string;
  /** Instances in the order in which they became leader. */
  leaders: string[];
  /** The last id a leader has reported. */
  processed: string;
}

export interface EdgeState {
  items: number;
  polls: number;
  clusters: Record<string, EdgeClusterState>;
  /** Reports of an instance that came back as leader after another one, about what it did before. */
  staleReports: number;
}

interface StoredItem {
  /** Null where it has none that can be compared. */
  id: bigint | null;
  text: string;
}

interface Cluster {
  leaders: string[];
  seenAt: number;
  processed: bigint;
}

const LIMIT_MAX = 100;
const LEADER_SILENCE_MS = 30_000;

export class EdgeDesk {
  readonly #edgeKey: string | null;
  readonly #leaderSilenceMs: number;
  readonly #items: StoredItem[] = [];
  readonly #clusters = new Map<string, Cluster>();
  #lastId = 0n;
  #isAscending = true;
  #polls = 0;
  #staleReports = 0;

  constructor({ edgeKey, leaderSilenceMs }: EdgeOptions) {
    this.#edgeKey = edgeKey ?? null;
    this.#leaderSilenceMs = leaderSilenceMs ?? LEADER_SILENCE_MS;
  }

  /** Payloads of new items, whose ids grow by one from the largest. Answers with the last id. */
  add(...payloads: unknown[]): string {
    for (const payload of payloads) this.addItem({ id: Number(this.#lastId + 1n), payload });
    return String(this.#lastId);
  }

  /** As many made-up items. */
  fill(count: number): string {
    for (let made = 0; made < count; made++) {
      const n = Number(this.#lastId) + 1;
      this.add({
        eventType: "alert-created",
        id: String(n),
        summary: `Made-up alert ${n}`,
        status: "PENDING",
        timestamp: new Date().toISOString(),
        n,
      });
    }
    return String(this.#lastId);
  }

  /** Anything at all in the list of items; a text is taken as JSON already written. */
  addItem(item: unknown): void {
    const text = typeof item === "string" ? item : JSON.stringify(item);
    const id = idOf(text);
    if (id === null || id <= this.#lastId) this.#isAscending = false;
    if (id !== null && id > this.#lastId) this.#lastId = id;
    this.#items.push({ id, text });
  }

  /** Makes this instance the leader at once. */
  appoint(clusterId: string, instanceId: string): void {
    this.#lead(this.#clusterOf(clusterId), instanceId);
  }

  state(): EdgeState {
    const clusters = [...this.#clusters].map(([id, { leaders, processed }]) =>
      [id, { leader: leaders.at(-1) ?? "", leaders, processed: String(processed) }] as const
    );
    return {
      items: this.#items.length,
      polls: this.#polls,
      clusters: Object.fromEntries(clusters),
      staleReports: this.#staleReports,
    };
  }

  poll(query: URLSearchParams, authorization: string | null): IlertAnswer {
    this.#polls++;
    if (authorization === null || (this.#edgeKey !== null && authorization !== this.#edgeKey)) {
      return failure(401, "UNAUTHORIZED", "No such edge connection");
    }
    const limit = Number(query.get("limit") ?? LIMIT_MAX);
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) return badRequest("limit");
    const clusterId = query.get("cluster-id");
    if (clusterId === null) {
      const after = query.get("after-id") ?? "0";
      return /^\d+$/.test(after) ? this.#handOut(BigInt(after), limit) : badRequest("after-id");
    }
    const instanceId = query.get("instance-id");
    const processed = query.get("last-processed-id");
    if (instanceId === null || query.has("after-id")) return badRequest("instance-id or after-id");
    if (processed !== null && !/^[1-9]\d*$/.test(processed)) return badRequest("last-processed-id");
    return this.#pollInCluster(clusterId, instanceId, processed, limit);
  }

  #pollInCluster(clusterId: string, instanceId: string, report: string | null, limit: number): IlertAnswer {
    const cluster = this.#clusterOf(clusterId);
    const isSilent = performance.now() - cluster.seenAt > this.#leaderSilenceMs;
    const isNew = cluster.leaders.at(-1) !== instanceId;
    if (isNew && cluster.leaders.length > 0 && !isSilent) return respond(200, { items: [], role: "standby" });
    if (isNew) this.#lead(cluster, instanceId);
    cluster.seenAt = performance.now();
    if (report !== null) {
      const processed = BigInt(report);
      if (processed < cluster.processed) this.#staleReports++;
      cluster.processed = processed;
    }
    return this.#handOut(cluster.processed, limit, "leader");
  }

  #lead(cluster: Cluster, instanceId: string): void {
    cluster.leaders.push(instanceId);
    cluster.seenAt = performance.now();
  }

  #clusterOf(clusterId: string): Cluster {
    let cluster = this.#clusters.get(clusterId);
    if (cluster === undefined) {
      cluster = { leaders: [], seenAt: 0, processed: 0n };
      this.#clusters.set(clusterId, cluster);
    }
    return cluster;
  }

  #handOut(after: bigint, limit: number, role?: "leader"): IlertAnswer {
    const texts = this.#itemsAfter(after, limit).map(({ text }) => text);
    const body = `{"items":[${texts.join()}]${role === undefined ? "" : `,"role":"${role}"`}}`;
    return { kind: "respond", status: 200, headers: JSON_HEADERS, body };
  }

  /** Items without a comparable id lie behind those that came before them. */
  #itemsAfter(after: bigint, limit: number): StoredItem[] {
    if (this.#isAscending) {
      const start = this.#firstAfter(after);
      return this.#items.slice(start, start + limit);
    }
    const passed = this.#items.findLastIndex(({ id }) => id !== null && id <= after);
    return this.#items.filter(({ id }, at) => id === null ? at > passed : id > after).slice(0, limit);
  }

  #firstAfter(after: bigint): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#items[middle]?.id ?? 0n) > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** The digits as they stand in the text: a JSON number would lose those of a large id. */
function idOf(text: string): bigint | null {
  const digits = /^\{"id":"?(\d+)"?[,}]/.exec(text)?.[1];
  return digits === undefined ? null : BigInt(digits);
}

function badRequest(what: string): IlertAnswer {
  return failure(400, "BAD_REQUEST", `${what} is wrong`);
}
