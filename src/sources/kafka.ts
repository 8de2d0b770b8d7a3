/**
 * Consumes topics of a Kafka cluster as a member of a consumer group, for as long as the agent runs.
 *
 *     looking ──▶ joining ──▶ consuming ──┐ crashed, silent, or a missing topic has come
 *        ▲                                │
 *        └────────────backoff─────────────┘
 */

import { KafkaClient, kafkaFailureOf } from "../clients/kafka/client.ts";
import {
  type Assignment,
  type Batch,
  GroupMember,
  SESSION_TIMEOUT_MS,
} from "../clients/kafka/group_member.ts";
import { backoffBoundMs } from "../domain/retry_policy.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { KafkaConsumerConfig } from "./consumers_config.ts";
import { FirstOffsets } from "./kafka_first_offsets.ts";
import { KafkaIntake } from "./kafka_intake.ts";
import type { MessageReceiver } from "./message.ts";

/** Why messages do not come in, in the form of contract §2. */
export interface KafkaUnready {
  component: "kafka";
  consumer_started: boolean;
  subscribed: boolean;
  worker_exited: boolean;
  error: string;
  [detail: string]: unknown;
}

export interface KafkaSourceDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
  /** A broker that the agent has no right to reach: the main thread has to look for brokers again. */
  onBrokerRefused: (address: string) => void;
}

const BACKOFF = { baseMs: 250, capMs: 5_000 };
/** An idle fetch is answered after less than a second. */
const SILENCE_MAX_MS = 7_000;
/** While a group forms, answers wait for its slowest member. */
const FORMING_MAX_MS = 20_000;
const WATCH_MS = 500;
const MISSING_TOPIC_LOOK_MS = 5_000;
const NOT_YET_MS = 100;
/** A broker that has just started may not know its topics yet; one that is missing for longer is deleted. */
const DELETED_AFTER_MS = 5_000;
/** Passing failures are part of each rebalance. */
const COMMIT_FAILING_MAX_MS = 5_000;

export class KafkaSource implements AsyncDisposable {
  readonly #config: KafkaConsumerConfig;
  readonly #topics: readonly string[];
  readonly #deps: KafkaSourceDeps;
  readonly #intake: KafkaIntake;
  readonly #first: FirstOffsets;
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;
  /** Ends the membership, for a reason. */
  #end: ((reason: string) => void) | null = null;
  #failures = 0;
  /** Said in the log; null while consuming. */
  #failure: string | null = null;
  #missing: readonly string[] = [];
  /** Since when each of them is missing, by the monotonic clock. */
  readonly #missingSince = new Map<string, number>();
  #isStarted = false;
  #isSubscribed = false;
  #hasExited = false;
  #isSuspended = false;
  /** How often the group has formed with us in it. */
  #formations = 0;
  /** Monotonic. */
  #answeredAt: number;
  #memberAt: number;

  /** `topics` are exact names, each once. */
  constructor(
    config: KafkaConsumerConfig,
    topics: readonly string[],
    receiver: MessageReceiver,
    deps: KafkaSourceDeps,
  ) {
    this.#config = config;
    this.#topics = topics;
    this.#deps = deps;
    this.#intake = new KafkaIntake(receiver, deps);
    this.#first = new FirstOffsets(config.groupId);
    this.#answeredAt = deps.clock.monotonic();
    this.#memberAt = this.#answeredAt;
  }

  /** Returns at once; connecting, and connecting again, goes on until `stop()`. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Messages that were handed over and are not settled. */
  get inFlight(): number {
    return this.#intake.inFlight;
  }

  /** Null while messages come in. */
  readiness(): KafkaUnready | null {
    const error = this.#trouble();
    if (error === null) return null;
    return {
      component: "kafka",
      consumer_started: this.#isStarted,
      subscribed: this.#isSubscribed && this.#missing.length === 0,
      worker_exited: this.#hasExited,
      error,
    };
  }

  /**
   * Fetches nothing more, waits up to `timeoutMs` for what is in hand, commits what is settled and leaves the group.
   * What is not settled then is aborted and comes again to whoever gets the partition.
   */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#running === null) return;
    await this.#intake.drain(timeoutMs);
    this.#stopping.abort();
    await this.#running;
    await this.#intake.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  #trouble(): string | null {
    if (this.#failure !== null) return this.#failure;
    const silentMs = this.#deps.clock.monotonic() - this.#answeredAt;
    if (silentMs > SILENCE_MAX_MS) return silentFor(silentMs);
    if (!this.#isStarted) return "connecting to the brokers";
    if (this.#missing.length > 0) return doNotExist(this.#missing);
    if (this.#topics.some((topic) => this.#first.isPending(topic))) {
      return "committing where the group starts";
    }
    if (!this.#isSubscribed) return `the group ${this.#config.groupId} is forming`;
    const commits = this.#intake.commitFailure;
    if (commits !== null && commits.forMs > COMMIT_FAILING_MAX_MS) {
      return `offsets cannot be committed: ${commits.reason}`;
    }
    return null;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const cancelWatch = this.#every(WATCH_MS, () => this.#watch());
    while (!signal.aborted) {
      try {
        const reason = await this.#consume(signal);
        if (reason !== null) this.#failed(reason);
      } catch (error) {
        if (!signal.aborted) this.#failed(kafkaFailureOf(error));
      }
      this.#isStarted = false;
      this.#isSubscribed = false;
      if (this.#failures > 0) await this.#pause(this.#backoffMs(), signal);
    }
    cancelWatch();
  }

  /** One client, from its first connection to the end of its membership. Answers why it ended; null to begin anew at once. */
  async #consume(signal: AbortSignal): Promise<string | null> {
    const { log, onBrokerRefused } = this.#deps;
    using client = await KafkaClient.open(this.#config.connection, { log, onBrokerRefused });
    const close = () => client[Symbol.dispose]();
    signal.addEventListener("abort", close);
    let topics: string[];
    try {
      topics = await client.existing(this.#topics);
      this.#missing = this.#topics.filter((topic) => !topics.includes(topic));
      this.#first.missing(this.#missing);
      this.#forgetDeleted(this.#missing);
      if (this.#config.from === "latest") await this.#first.look(client, topics);
    } finally {
      signal.removeEventListener("abort", close);
    }
    return topics.length === 0 ? doNotExist(this.#missing) : await this.#participate(client, topics, signal);
  }

  async #participate(client: KafkaClient, topics: string[], signal: AbortSignal): Promise<string | null> {
    const ended = Promise.withResolvers<string | null>();
    const member = new GroupMember(client, this.#config.groupId, {
      assigned: (assignment) => {
        this.#assigned(assignment);
        this.#startAtEnds(client, member).catch(ended.reject);
        this.#resume(client).catch(ended.reject);
      },
      rebalancing: () => this.#isSubscribed = false,
      fetched: (batch) => this.#mayTake(batch) ? this.#intake.fetched(batch) : this.#notYet(batch),
      answered: () => this.#answeredAt = this.#deps.clock.monotonic(),
      confirmed: (agoMs) => this.#confirmed(agoMs),
      crashed: (error) => {
        this.#hasExited = true;
        ended.reject(error);
      },
    });
    const stop = () => ended.resolve(null);
    signal.addEventListener("abort", stop);
    const cancelLooks = this.#every(MISSING_TOPIC_LOOK_MS, () => void this.#lookForMissing(client, stop));
    this.#intake.attach(member);
    this.#hasExited = false;
    this.#answeredAt = this.#deps.clock.monotonic();
    this.#end = ended.resolve;
    try {
      await Promise.race([member.join(topics).then(() => this.#isStarted = true), ended.promise]);
      return await ended.promise;
    } finally {
      this.#end = null;
      cancelLooks();
      signal.removeEventListener("abort", stop);
      if (signal.aborted) await this.#intake.end();
      this.#intake.attach(null);
      await member.leave();
    }
  }

  #assigned(assignment: Assignment): void {
    this.#memberAt = this.#deps.clock.monotonic();
    this.#isSuspended = false;
    this.#formations++;
    this.#isSubscribed = true;
    this.#failures = 0;
    const { log } = this.#deps;
    if (this.#failure !== null) log.warn("Consuming from Kafka again");
    this.#failure = null;
    const partitions = [...assignment].map(([topic, numbers]) => `${topic} ${numbers.join(",")}`).join("; ");
    log.info("Member of the Kafka group {group}; partitions: {partitions}", {
      group: this.#config.groupId,
      partitions: partitions === "" ? "none" : partitions,
    });
    this.#intake.assigned(assignment);
  }

  async #startAtEnds(client: KafkaClient, member: GroupMember): Promise<void> {
    const starts = await this.#first.commit(client, member);
    for (const [topic, offsets] of starts) {
      for (const [partition, offset] of offsets) {
        if (this.#intake.owns(topic, partition)) member.seek(topic, partition, offset);
      }
    }
    this.#first.done(starts.keys());
  }

  /** Whether it goes on with what is in hand, the group has to say: others may have gone on with it. */
  async #resume(client: KafkaClient): Promise<void> {
    const topics = this.#intake.topicsInDoubt;
    if (topics.length === 0) return;
    const formation = this.#formations;
    const committed = await client.committed(this.#config.groupId, topics);
    if (formation === this.#formations) this.#intake.resume(committed);
  }

  /** A broker gives messages to whoever asks: that they come is no sign that the partition is still ours. */
  #mayTake({ topic, partition }: Batch): boolean {
    return !this.#first.isPending(topic) && !this.#isSuspended && !this.#intake.isHeldBack(topic, partition);
  }

  #notYet({ from }: Batch): { next: bigint; processed: Promise<void> } {
    return { next: from, processed: this.#pause(NOT_YET_MS, this.#stopping.signal) };
  }

  /** The broker may have been as silent as we were, and so have kept a session that we gave up. */
  #confirmed(agoMs: number): void {
    const now = this.#deps.clock.monotonic();
    this.#memberAt = Math.max(this.#memberAt, now - Math.max(0, agoMs));
    if (!this.#isSuspended || now - this.#memberAt > SESSION_TIMEOUT_MS) return;
    this.#isSuspended = false;
    this.#intake.confirmed();
  }

  async #lookForMissing(client: KafkaClient, found: () => void): Promise<void> {
    if (this.#missing.length === 0) return;
    // Whatever is wrong with the brokers, the consumer notices too.
    const topics = await client.existing(this.#missing).catch(() => null);
    if (topics === null) return;
    if (topics.length > 0) found();
    else this.#forgetDeleted(this.#missing);
  }

  /** What comes under their names again is another topic. */
  #forgetDeleted(missing: readonly string[]): void {
    const now = this.#deps.clock.monotonic();
    for (const topic of missing) {
      if (!this.#missingSince.has(topic)) this.#missingSince.set(topic, now);
    }
    const deleted = [...this.#missingSince].filter(([, since]) => now - since >= DELETED_AFTER_MS);
    this.#intake.forget(deleted.map(([topic]) => topic));
    for (const topic of this.#missingSince.keys()) {
      if (!missing.includes(topic)) this.#missingSince.delete(topic);
    }
  }

  #watch(): void {
    const now = this.#deps.clock.monotonic();
    if (now - this.#memberAt > SESSION_TIMEOUT_MS && !this.#isSuspended) {
      this.#isSuspended = true;
      this.#intake.suspend();
    }
    // kafkajs waits on a connection that is cut without a word for as long as the system does.
    const silentMs = now - this.#answeredAt;
    if (silentMs > (this.#isSubscribed ? SILENCE_MAX_MS : FORMING_MAX_MS)) this.#end?.(silentFor(silentMs));
  }

  #failed(reason: string): void {
    this.#failures++;
    if (this.#failure !== reason) {
      this.#deps.log.warn("Not consuming from Kafka: {reason}; trying again until it works", { reason });
    }
    this.#failure = reason;
  }

  #backoffMs(): number {
    return backoffBoundMs(this.#failures, BACKOFF) * (0.5 + this.#deps.random() / 2);
  }

  async #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = () => resolve();
    const cancel = this.#deps.clock.after(delayMs, resolve);
    signal.addEventListener("abort", end);
    await promise;
    cancel();
    signal.removeEventListener("abort", end);
  }

  #every(intervalMs: number, callback: () => void): () => void {
    let cancel = () => {};
    const arm = () => {
      cancel = this.#deps.clock.after(intervalMs, () => {
        arm();
        callback();
      });
    };
    arm();
    return () => cancel();
  }
}

function silentFor(ms: number): string {
  return `no broker has answered for ${Math.round(ms / 1000)} s`;
}

function doNotExist(topics: readonly string[]): string {
  return topics.length === 1
    ? `the topic ${topics[0]} does not exist`
    : `the topics ${topics.join(", ")} do not exist`;
}
