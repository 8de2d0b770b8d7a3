/**
 * The outside of the jail where the agent talks to Kafka. Which brokers there are is known only once one of those to begin
 * with has answered, and it changes while the agent runs:
 *
 *     searching ──found, or no answer──▶ running ──refused a broker──▶ running, searching
 *                                           ▲                                │ found others
 *                                           └──────started again◀────────────┘
 *
 * The agent itself only says that it was refused one. What it may reach is decided by what the brokers to begin with tell
 * another worker, so that an agent gone astray cannot widen its own rights.
 */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import { findBrokers } from "./broker_search.ts";
import type { Job } from "./messages.ts";
import type { Permissions } from "./permissions.ts";
import { type AgentRun, type JobEnd, onStopSignals, startAgent } from "./supervisor.ts";

/** From one search to the next. */
const SEARCH_INTERVAL_MS = 5_000;
/** A cluster that never comes to rest must not keep the agent from its work. */
const RESTART_INTERVAL_MS = 60_000;

export interface KafkaJob {
  job: Job;
  connection: KafkaConnection;
  /** With the brokers that were found beside those to begin with. */
  permissionsWith: (brokers: readonly string[]) => Permissions;
}

/** Resolves when the job is over, however that came about. Never throws. */
export async function runJailedWithKafka({ job, connection, permissionsWith }: KafkaJob): Promise<JobEnd> {
  const stop = new AbortController();
  let run: AgentRun | null = null;
  onStopSignals(() => {
    stop.abort();
    run?.stop();
  }, (message) => run?.end({ exitCode: 1, message }));
  const first = await findBrokers(connection, stop.signal);
  let brokers = first.kind === "found" ? first.addresses : [];
  let end: JobEnd = { exitCode: 0, message: null };
  let mayRestartAt = 0;
  while (!stop.signal.aborted) {
    const known = permissionsWith(brokers);
    const search = new RefusedSearch(connection, known.net, mayRestartAt, () => run?.stop());
    run = startAgent(job, known, { keptRights: KEPT_RIGHTS, onBrokerRefused: () => search.begin() });
    end = await run.ended;
    search.stop();
    if (search.found === null || end.exitCode !== 0) break;
    brokers = search.found;
    mayRestartAt = performance.now() + RESTART_INTERVAL_MS;
  }
  return end;
}

/**
 * What starting the agent again takes. `net` cannot be narrowed to addresses that are not known yet, and the others not to
 * paths, once they were given without any.
 */
const KEPT_RIGHTS = ["net", "read", "write"] as const;

/** During one run of the agent: looks again when it is refused a broker, and ends the run when there are others. */
class RefusedSearch {
  readonly #connection: KafkaConnection;
  readonly #granted: ReadonlySet<string>;
  readonly #onFound: () => void;
  readonly #abort = new AbortController();
  #nextAt: number;
  #isSearching = false;
  #found: string[] | null = null;

  constructor(
    connection: KafkaConnection,
    granted: readonly string[],
    notBefore: number,
    onFound: () => void,
  ) {
    this.#nextAt = notBefore;
    this.#connection = connection;
    this.#granted = new Set(granted);
    this.#onFound = onFound;
  }

  /** Null unless the agent needs other rights. */
  get found(): string[] | null {
    return this.#found;
  }

  /** The agent tries again by itself, and says so again. */
  begin(): void {
    if (this.#isSearching || this.#found !== null || performance.now() < this.#nextAt) return;
    void this.#search();
  }

  stop(): void {
    this.#abort.abort();
  }

  async #search(): Promise<void> {
    this.#isSearching = true;
    const result = await findBrokers(this.#connection, this.#abort.signal);
    this.#isSearching = false;
    this.#nextAt = performance.now() + SEARCH_INTERVAL_MS;
    if (result.kind === "failed" || result.addresses.every((address) => this.#granted.has(address))) return;
    this.#found = result.addresses;
    this.#onFound();
  }
}
