/** One membership in a consumer group: from joining to leaving, or to the first thing kafkajs cannot get over. */

import type { Consumer, EachBatchPayload, KafkaClient, Offsets } from "./client.ts";
import { rangeAssigner } from "./range_assigner.ts";

export interface KafkaMessage {
  readonly offset: bigint;
  readonly key: string | null;
  readonly payload: Uint8Array;
}

/** What one fetch brought from one partition; of some only a gap in the offsets is left. */
export interface Batch {
  readonly topic: string;
  readonly partition: number;
  /** Where reading began. */
  readonly from: bigint;
  /** Where reading goes on. */
  readonly next: bigint;
  readonly messages: readonly KafkaMessage[];
}

/** By topic. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

export interface MemberEvents {
  /** The group has formed, anew or again: only these partitions are ours now. */
  assigned(assignment: Assignment): void;
  /** The group forms again; what is ours will be told. */
  rebalancing(): void;
  /**
   * Answers where reading goes on: behind the batch, or anywhere in it. The promise holds back the next fetch, heartbeats
   * included, so it must be short.
   */
  fetched(batch: Batch): { next: bigint; processed: Promise<void> };
  /** A broker has answered something. */
  answered(): void;
  /** We were still counted in when we asked, so many milliseconds ago; the answer may have been long on its way. */
  confirmed(agoMs: number): void;
  /** Over for good. Called once, and not after `leave()`. */
  crashed(error: unknown): void;
}

/** A member that is silent for longer loses its partitions to the others. Contract §4. */
export const SESSION_TIMEOUT_MS = 6_000;
const HEARTBEAT_INTERVAL_MS = 1_500;
/** How long the others wait for this member when the group forms again. */
const REBALANCE_TIMEOUT_MS = 10_000;
/** Of an idle fetch. Heartbeats, resumed partitions and the end wait for it. */
const FETCH_WAIT_MS = 400;
const FETCH_BYTES_MAX = 4 * 1024 * 1024;
/** Of one partition, unless a single message is larger. */
const FETCH_PARTITION_BYTES_MAX = 32 * 1024;
/** New partitions of a topic are seen this late. */
const METADATA_AGE_MAX_MS = 30_000;
/** Enough that no partition waits for another. */
const BATCHES_AT_ONCE = 64;
/** For the last commit, leaving, and the connections, where the brokers do not answer. */
const LEAVE_TIMEOUT_MS = 3_000;

export class GroupMember {
  readonly #consumer: Consumer;
  readonly #events: MemberEvents;
  #commitNow: EachBatchPayload["commitOffsetsIfNecessary"] | null = null;
  #isOver = false;

  constructor(client: KafkaClient, groupId: string, events: MemberEvents) {
    this.#events = events;
    this.#consumer = client.kafka.consumer({
      groupId,
      partitionAssigners: [rangeAssigner],
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_INTERVAL_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytes: FETCH_BYTES_MAX,
      maxBytesPerPartition: FETCH_PARTITION_BYTES_MAX,
      metadataMaxAge: METADATA_AGE_MAX_MS,
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: () => Promise.resolve(false) },
    });
  }

  /** Resolves when fetching has begun or, told by `crashed`, cannot. Rejects where no broker can be reached. */
  async join(topics: string[]): Promise<void> {
    const { events } = this.#consumer;
    let heartbeatMs = 0;
    this.#consumer.on(events.REQUEST, ({ payload }) => {
      if (payload.apiName === "Heartbeat") heartbeatMs = payload.duration;
      this.#events.answered();
    });
    this.#consumer.on(events.HEARTBEAT, () => this.#events.confirmed(heartbeatMs));
    this.#consumer.on(events.REBALANCING, () => this.#events.rebalancing());
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.#events.assigned(new Map(Object.entries(payload.memberAssignment)));
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      if (!this.#isOver) this.#events.crashed(payload.error);
      this.#isOver = true;
    });
    await this.#consumer.connect();
    // Where no offset is committed, or the committed one is no longer kept, nothing that is still there is skipped.
    await this.#consumer.subscribe({ topics, fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: BATCHES_AT_ONCE,
      eachBatch: (payload) => this.#take(payload),
    });
  }

  /** Fetches no more of it until `resume()`; stays so when the group forms again. */
  pause(topic: string, partition: number): void {
    if (!this.#isOver) this.#consumer.pause([{ topic, partitions: [partition] }]);
  }

  resume(topic: string, partition: number): void {
    if (!this.#isOver) this.#consumer.resume([{ topic, partitions: [partition] }]);
  }

  /** The next fetch of a partition of ours begins there. */
  seek(topic: string, partition: number, offset: bigint): void {
    if (!this.#isOver) this.#consumer.seek({ topic, partition, offset: `${offset}` });
  }

  /**
   * Commits as the member that we are at this moment: an answer that comes after the group has formed again is a
   * rejection, never a commit in a later generation's name.
   */
  async commit(offsets: ReadonlyMap<string, Offsets>): Promise<void> {
    const topics = [...offsets].map(([topic, byPartition]) => ({
      topic,
      partitions: [...byPartition].map(([partition, offset]) => ({ partition, offset: `${offset}` })),
    }));
    if (this.#commitNow !== null) return await this.#commitNow({ topics });
    // Before the first batch there is only this way, which would try again in whichever generation; nothing that is
    // committed that early depends on the generation.
    await this.#consumer.commitOffsets(
      topics.flatMap(({ topic, partitions }) => partitions.map((offset) => ({ topic, ...offset }))),
    );
  }

  /** Tells the group, so that others take over at once. Resolves within a few seconds whatever the brokers do. */
  async leave(): Promise<void> {
    this.#isOver = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, LEAVE_TIMEOUT_MS));
    // What kafkajs could not say good-bye to notices by the session's time-out.
    await Promise.race([this.#consumer.disconnect().catch(() => {}), timeout]);
    clearTimeout(timer);
  }

  async #take({ batch, resolveOffset, isRunning, isStale, ...payload }: EachBatchPayload): Promise<void> {
    if (!isRunning() || isStale()) return;
    // Of kafkajs' own state, and not of this batch: every one would do.
    this.#commitNow = payload.commitOffsetsIfNecessary;
    // Not in its types. The first message is no substitute: there may be gaps before it.
    const from = BigInt((batch as typeof batch & { fetchedOffset: string }).fetchedOffset);
    const { next, processed } = this.#events.fetched({
      topic: batch.topic,
      partition: batch.partition,
      from,
      next: BigInt(batch.lastOffset()) + 1n,
      messages: batch.messages.map(({ offset, key, value }) => ({
        offset: BigInt(offset),
        key: key?.toString() ?? null,
        payload: value ?? new Uint8Array(0),
      })),
    });
    if (next > from) resolveOffset(`${next - 1n}`);
    await processed;
  }
}
