/** The subscriptions that the session is to hold: those that the configuration needs, and no others. */

import type { Connection } from "../clients/mqtt/connection.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { uncovered } from "./mqtt_filters.ts";

/** The topic filters that the broker's persistent session holds for us; kept across restarts. */
export interface RememberedTopics {
  /** As last saved; empty at the very first start. */
  load(): string[];
  /** Durable when it returns. */
  save(topics: readonly string[]): void;
}

const RETRY_BASE_MS = 1_000, RETRY_CAP_MS = 30_000;

const NO_SHARED_IN_3_1_1 =
  "the broker speaks only MQTT 3.1.1, which has no shared subscriptions; leave out --mqtt_shared_group or use another broker";
const NO_SHARED =
  "the broker announces that it has no shared subscriptions; leave out --mqtt_shared_group or use another broker";

export class MqttSubscriptions {
  /** Of the configuration; one that another covers is left out, as a broker may send a message once for each. */
  readonly #filters: readonly string[];
  readonly #qos: 0 | 1 | 2;
  readonly #isShared: boolean;
  readonly #remembered: RememberedTopics;
  readonly #clock: Clock;
  readonly #log: Log;
  #connection: Connection | null = null;
  #error: string | null = "not subscribed yet";
  #toldError: string | null = null;
  #failures = 0;
  /** A session of MQTT 3.1.1 would send retained messages again for each SUBSCRIBE. */
  #wereGranted = false;
  #cancelRetry = () => {};

  constructor(
    topics: readonly string[],
    { qos, sharedGroup }: { qos: 0 | 1 | 2; sharedGroup: string | null },
    remembered: RememberedTopics,
    { clock, log }: { clock: Clock; log: Log },
  ) {
    const prefix = sharedGroup === null ? "" : `$share/${sharedGroup}/`;
    this.#filters = topics.map((topic) => prefix + topic);
    this.#qos = qos;
    this.#isShared = sharedGroup !== null;
    this.#remembered = remembered;
    this.#clock = clock;
    this.#log = log;
  }

  /** Null while all are granted. */
  get error(): string | null {
    return this.#error;
  }

  connected(connection: Connection): void {
    this.#connection = connection;
    this.#failures = 0;
    void this.#agree(connection);
  }

  lost(): void {
    this.#cancelRetry();
    this.#connection = null;
    this.#error = "not subscribed";
  }

  /** Never rejects. */
  async #agree(connection: Connection): Promise<void> {
    if (this.#isShared && connection.version === 5 && !connection.hasSharedSubscriptions) {
      return this.#refused(connection, [NO_SHARED]);
    }
    const isHeld = connection.sessionPresent && this.#wereGranted && connection.version === 4;
    const refusals = isHeld ? [] : await this.#subscribe(connection).catch((error: unknown) => [
      `the list of subscribed topics cannot be stored: ${failureOf(error)}`,
    ]);
    if (refusals === null || connection !== this.#connection) return;
    // Subscribed all the same: a broker may know shared subscriptions and not MQTT 5.
    if (this.#isShared && !connection.hasSharedSubscriptions) refusals.push(NO_SHARED_IN_3_1_1);
    if (refusals.length > 0) return this.#refused(connection, refusals);
    this.#wereGranted = true;
    this.#error = null;
    this.#toldError = null;
    this.#log.info("Subscribed to {topics} with QoS {qos}", {
      topics: uncovered(this.#filters).join(", "),
      qos: this.#qos,
    });
  }

  /** Reasons for what was refused; null where the connection was lost meanwhile. */
  async #subscribe(connection: Connection): Promise<string[] | null> {
    const asked: string[] = [], refused: string[] = [], refusals: string[] = [];
    for (;;) {
      // Within a filter that was refused others may be granted.
      const next = uncovered(this.#filters.filter((filter) => !refused.includes(filter)))
        .filter((filter) => !asked.includes(filter));
      if (next.length === 0) break;
      this.#remember(next);
      const grants = await connection.subscribe(next, this.#qos);
      if (grants === null) return null;
      asked.push(...next);
      next.forEach((filter, index) => {
        const grant = grants[index];
        if (grant?.kind === "granted") return this.#warnOfQos(filter, grant.qos);
        refused.push(filter);
        refusals.push(`subscription to ${filter} refused: ${grant?.reason}`);
      });
    }
    return await this.#unsubscribeBut(asked, connection) === "lost" ? null : refusals;
  }

  /** Before the broker may know of them. */
  #remember(filters: readonly string[]): void {
    const remembered = this.#remembered.load();
    const added = filters.filter((filter) => !remembered.includes(filter));
    if (added.length > 0) this.#remembered.save([...remembered, ...added]);
  }

  /** Last, so that no message is missed of a topic that another filter takes from now on. */
  async #unsubscribeBut(filters: readonly string[], connection: Connection): Promise<"done" | "lost"> {
    const stale = this.#remembered.load().filter((filter) => !filters.includes(filter));
    if (stale.length === 0) return "done";
    if (await connection.unsubscribe(stale) === "lost") return "lost";
    // Forgotten after the broker has forgotten them.
    this.#remembered.save(filters);
    this.#log.info("Unsubscribed from {topics}, which the configuration does not need", {
      topics: stale.join(", "),
    });
    return "done";
  }

  #refused(connection: Connection, refusals: string[]): void {
    this.#wereGranted = false;
    this.#error = refusals.join("; ");
    if (this.#error !== this.#toldError) {
      this.#toldError = this.#error;
      this.#log.error("MQTT: {reason}; the agent keeps trying", { reason: this.#error });
    }
    const delayMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(this.#failures++, 30));
    this.#cancelRetry = this.#clock.after(delayMs, () => {
      if (connection === this.#connection) void this.#agree(connection);
    });
  }

  #warnOfQos(filter: string, qos: number): void {
    if (qos >= this.#qos) return;
    this.#log.warn(
      "The broker grants {filter} only with QoS {qos}: what is lost on the way is not sent again",
      { filter, qos },
    );
  }
}
