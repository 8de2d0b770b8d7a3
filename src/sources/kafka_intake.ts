/**
 * From fetched batches to the receiver, and back from settled messages to commits. Outlives the memberships in the group:
 * what is in hand while the brokers are away is not handed over a second time.
 */

import type { Offsets } from "../clients/kafka/client.ts";
import type { Assignment, Batch, GroupMember, KafkaMessage } from "../clients/kafka/group_member.ts";
import { kafkaFailureOf } from "../clients/kafka/client.ts";
import type { Clock } from "../runtime/clock.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { PartitionProgress } from "./kafka_partition.ts";
import type { MessageReceiver } from "./message.ts";

interface Partition {
  readonly topic: string;
  readonly partition: number;
  /** Null until the first read. */
  progress: PartitionProgress<KafkaMessage> | null;
  isPaused: boolean;
  /** Ends the wait of the batch whose messages are being handed over. */
  release: () => void;
}

interface Due {
  topic: string;
  partition: number;
  progress: PartitionProgress<KafkaMessage>;
  offset: bigint;
}

/** What the intake needs of a membership. */
export type Membership = Pick<GroupMember, "pause" | "resume" | "commit">;

/** At most this often; what is settled later than the last commit comes again after a kill. */
const COMMIT_INTERVAL_MS = 20;
const COMMIT_RETRY_MS = 500;
/** How long a batch that finds no room holds back the next fetch before its partition is paused. */
const HOLD_MS = 100;
const LAST_COMMIT_MAX_MS = 2_000;
const RECEIVE_RETRY_MS = 1_000;

const NOTHING_TO_WAIT_FOR = Promise.resolve();

export class KafkaIntake {
  readonly #receiver: MessageReceiver;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #partitions = new Map<string, Partition>();
  /** Of topics that were deleted: nothing of them can be committed. */
  readonly #orphans = new Set<PartitionProgress<KafkaMessage>>();
  #member: Membership | null = null;
  #commitTimer: { cancel: () => void } | null = null;
  #committing: Promise<void> | null = null;
  #commitFailure: { reason: string; since: number } | null = null;
  #isClosed = false;
  #isEnded = false;
  #drained: () => void = () => {};

  constructor(receiver: MessageReceiver, deps: { clock: Clock; log: Log }) {
    this.#receiver = receiver;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  get inFlight(): number {
    const progress = [...this.#partitions.values()].map((partition) => partition.progress);
    return [...progress, ...this.#orphans].reduce((sum, one) => sum + (one?.inFlight ?? 0), 0);
  }

  /** Why nothing has been committed for how long. */
  get commitFailure(): { reason: string; forMs: number } | null {
    if (this.#commitFailure === null) return null;
    const { reason, since } = this.#commitFailure;
    return { reason, forMs: this.#clock.monotonic() - since };
  }

  /** Null while there is no membership: nothing can be committed then. */
  attach(member: Membership | null): void {
    this.#member = member;
    this.#commitFailure = null;
    for (const partition of this.#partitions.values()) partition.isPaused = false;
  }

  assigned(assignment: Assignment): void {
    // What could not be committed before the group formed may be nobody's to commit now.
    this.#commitFailure = null;
    const ours = new Set<string>();
    for (const [topic, partitions] of assignment) {
      for (const partition of partitions) {
        const name = nameOf(topic, partition);
        ours.add(name);
        const known = this.#partitions.get(name);
        if (known === undefined) this.#add(name, topic, partition);
        else if (known.progress?.isOpen) known.progress.rejoined();
        else known.progress = null;
      }
    }
    for (const [name, partition] of this.#partitions) {
      if (!ours.has(name)) this.#revoke(name, partition);
    }
  }

  /** Topics of which it must know what the group has committed, to go on with what it has of them in hand. */
  get topicsInDoubt(): string[] {
    const inDoubt = [...this.#partitions.values()].filter(({ progress }) => progress?.isInDoubt);
    return [...new Set(inDoubt.map(({ topic }) => topic))];
  }

  /** What the group has committed of these topics, asked after it has formed. */
  resume(committed: ReadonlyMap<string, Offsets>): void {
    for (const partition of this.#partitions.values()) {
      const { progress } = partition, offsets = committed.get(partition.topic);
      if (progress === null || !progress.isInDoubt || offsets === undefined) continue;
      const offset = offsets.get(partition.partition) ?? null;
      if (progress.isSetBackTo(offset)) {
        this.#takeBack(partition);
        partition.progress = null;
      } else {
        progress.resume(offset);
        this.#readOn(partition);
      }
    }
    this.#commitWithin(COMMIT_INTERVAL_MS);
  }

  /** Whether a batch of it could be taken now. */
  isHeldBack(topic: string, partition: number): boolean {
    return this.#partitions.get(nameOf(topic, partition))?.progress?.isHeldBack ?? false;
  }

  /** These topics do not exist: what comes under their names is another topic. What is in hand of them is nowhere else. */
  forget(topics: readonly string[]): void {
    for (const [name, { topic, progress }] of this.#partitions) {
      if (!topics.includes(topic)) continue;
      this.#partitions.delete(name);
      if (progress === null) continue;
      this.#orphans.add(progress);
      progress.resume(null);
    }
  }

  owns(topic: string, partition: number): boolean {
    return this.#partitions.has(nameOf(topic, partition));
  }

  /** Takes a batch, unless its partition is full, not ours, or the intake is closed; answers where reading goes on. */
  fetched(batch: Batch): { next: bigint; processed: Promise<void> } {
    const partition = this.#partitions.get(nameOf(batch.topic, batch.partition));
    if (partition === undefined) return { next: batch.from, processed: NOTHING_TO_WAIT_FOR };
    if (this.#isClosed) {
      this.#pause(partition);
      return { next: batch.from, processed: NOTHING_TO_WAIT_FOR };
    }
    const progress = this.#progressAt(partition, batch.from);
    // Bounds what waits to one batch, whatever becomes of memberships; taken anew once there is room.
    const isTaken = !progress.hasWaiting;
    progress.take(isTaken ? batch : { messages: [], next: batch.from });
    // What is in hand need not be read again.
    const next = progress.next < batch.next ? progress.next : batch.next;
    return { next, processed: progress.hasWaiting ? this.#hold(partition) : NOTHING_TO_WAIT_FOR };
  }

  /** Whoever is no member for longer than the session may last has lost its partitions, to be had back or not. */
  suspend(): void {
    for (const partition of this.#partitions.values()) this.#takeBack(partition);
  }

  /** The group has kept us as a member nonetheless. */
  confirmed(): void {
    if (this.#isClosed) return;
    for (const { progress } of this.#partitions.values()) progress?.confirmed();
  }

  /** Hands over no more. Resolves when nothing is in flight, or after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    for (const partition of this.#partitions.values()) {
      partition.progress?.close();
      partition.release();
      this.#pause(partition);
    }
    for (const orphan of this.#orphans) orphan.close();
    if (this.inFlight === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    const cancel = this.#clock.after(timeoutMs, resolve);
    await promise;
    cancel();
  }

  /** Aborts what is in flight, and commits what is not committed yet, for as long as a broker may take for that. */
  async end(): Promise<void> {
    this.suspend();
    this.#endOrphans();
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(LAST_COMMIT_MAX_MS, resolve);
    await Promise.race([(this.#committing ?? Promise.resolve()).then(() => this.#commit()), promise]);
    cancel();
    this.#commitTimer?.cancel();
    this.#isEnded = true;
  }

  #endOrphans(): void {
    const count = [...this.#orphans].reduce((sum, { unsettled }) => sum + unsettled, 0);
    for (const orphan of this.#orphans) orphan.suspend();
    this.#orphans.clear();
    if (count > 0) this.#log.error("{count} messages of deleted topics were not delivered", { count });
  }

  #add(name: string, topic: string, partition: number): void {
    const added = { topic, partition, progress: null, isPaused: false, release: () => {} };
    this.#partitions.set(name, added);
  }

  #revoke(name: string, partition: Partition): void {
    this.#takeBack(partition);
    this.#partitions.delete(name);
  }

  /** With its pause, which nothing would end once nothing is in flight, and which outlasts an assignment. */
  #takeBack(partition: Partition): void {
    partition.progress?.suspend();
    partition.release();
    if (!this.#isClosed) this.#resume(partition);
  }

  #progressAt(partition: Partition, offset: bigint): PartitionProgress<KafkaMessage> {
    const { progress, topic } = partition;
    if (progress?.continuesAt(offset)) return progress;
    progress?.suspend();
    const anew = new PartitionProgress<KafkaMessage>(
      offset,
      (message, signal) => this.#receive(topic, message, signal),
      () => this.#settled(partition),
    );
    partition.progress = anew;
    return anew;
  }

  /** Never gives up on a message: it settles, or the partition is lost. */
  async #receive(topic: string, { key, payload, offset }: KafkaMessage, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.#receiver.receive({ topic, payload, key }, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        this.#log.error("Message {offset} of topic {topic} was not taken: {reason}; trying again", {
          offset: `${offset}`,
          topic,
          reason: failureOf(error),
        });
        await this.#pauseFor(RECEIVE_RETRY_MS, signal);
      }
    }
  }

  async #pauseFor(delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(delayMs, resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    cancel();
    signal.throwIfAborted();
  }

  #settled(partition: Partition): void {
    this.#readOn(partition);
    this.#commitWithin(COMMIT_INTERVAL_MS);
    if (this.#isClosed && this.inFlight === 0) this.#drained();
  }

  /** Where there is room again. */
  #readOn(partition: Partition): void {
    if (partition.progress?.hasWaiting !== false) return;
    partition.release();
    if (!this.#isClosed) this.#resume(partition);
  }

  async #hold(partition: Partition): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    partition.release = resolve;
    const cancel = this.#clock.after(HOLD_MS, () => {
      this.#pause(partition);
      resolve();
    });
    await promise;
    cancel();
  }

  #pause(partition: Partition): void {
    if (partition.isPaused) return;
    partition.isPaused = true;
    this.#member?.pause(partition.topic, partition.partition);
  }

  #resume(partition: Partition): void {
    if (!partition.isPaused) return;
    partition.isPaused = false;
    this.#member?.resume(partition.topic, partition.partition);
  }

  #commitWithin(delayMs: number): void {
    if (this.#committing !== null || this.#commitTimer !== null || this.#isEnded) return;
    const cancel = this.#clock.after(delayMs, () => {
      this.#commitTimer = null;
      void this.#commit();
    });
    this.#commitTimer = { cancel };
  }

  /** One at a time, so that a late answer cannot undo a later commit. */
  async #commit(): Promise<void> {
    const member = this.#member;
    const due = [...this.#partitions.values()].flatMap(({ topic, partition, progress }) => {
      const offset = progress?.uncommitted ?? null;
      return progress === null || offset === null ? [] : [{ topic, partition, progress, offset }];
    });
    if (member === null || due.length === 0) return;
    this.#committing = this.#commitAs(member, due);
    await this.#committing;
    this.#committing = null;
    this.#commitWithin(this.#commitFailure === null ? COMMIT_INTERVAL_MS : COMMIT_RETRY_MS);
  }

  async #commitAs(member: Membership, due: Due[]): Promise<void> {
    try {
      await member.commit(byTopic(due));
      for (const { progress, offset } of due) progress.committed(offset);
      this.#commitFailure = null;
    } catch (error) {
      // Expected while the group forms again; kafkajs would end the consumer for good if this reached it.
      const reason = kafkaFailureOf(error);
      this.#commitFailure ??= { reason, since: this.#clock.monotonic() };
      this.#log.debug("Kafka did not take a commit of offsets: {reason}", { reason });
    }
  }
}

function byTopic(due: Due[]): Map<string, Offsets> {
  const topics = new Map<string, Map<number, bigint>>();
  for (const { topic, partition, offset } of due) {
    const offsets = topics.get(topic) ?? new Map<number, bigint>();
    topics.set(topic, offsets.set(partition, offset));
  }
  return topics;
}

function nameOf(topic: string, partition: number): string {
  return `${topic} ${partition}`;
}
