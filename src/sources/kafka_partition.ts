/**
 * What one partition has in hand: messages in the order of their offsets, and how far it may be committed.
 *
 *     waiting ──▶ in flight ──▶ settled ──all before it settled too──▶ committable
 *        ▲            │
 *        └──suspended─┘
 */

export interface OffsetMessage {
  readonly offset: bigint;
}

/** What one fetch brought. */
export interface Read<M> {
  readonly messages: readonly M[];
  /** Where reading goes on. */
  readonly next: bigint;
}

interface Taken<M> {
  readonly message: M;
  /** What to commit once this message and all before it are settled: where whoever comes next starts. */
  readonly next: bigint;
  isSettled: boolean;
}

/** Resolves when the message is settled; rejects only once the signal is aborted. */
export type HandOver<M> = (message: M, signal: AbortSignal) => Promise<void>;

/** Messages of one partition that may be in flight at once. */
export const IN_FLIGHT_MAX = 64;

export class PartitionProgress<M extends OffsetMessage> {
  readonly #handOver: HandOver<M>;
  readonly #onSettled: () => void;
  /** In order of offsets. Before `#turn` in flight or settled, from there on waiting, unless settled before a suspension. */
  readonly #taken: Taken<M>[] = [];
  #turn = 0;
  #inFlight = 0;
  #abort = new AbortController();
  #isSuspended = false;
  #isClosed = false;
  /** Until the group has said whether another member was here meanwhile. */
  #isInDoubt = false;
  #next: bigint;
  #committable: bigint;
  #committed: bigint;
  /** Where reading began when the group last formed. */
  #start: bigint;
  /** The group has an offset of it. */
  #isCommitted = false;

  /** `start` is where the partition is read from. `onSettled` follows each message that is. */
  constructor(start: bigint, handOver: HandOver<M>, onSettled: () => void) {
    this.#handOver = handOver;
    this.#onSettled = onSettled;
    this.#next = start;
    this.#committable = start;
    this.#committed = start;
    this.#start = start;
  }

  /** Nothing may be taken: whether it is still ours, or how far others have gone, is not known. */
  get isHeldBack(): boolean {
    return this.#isSuspended || this.#isInDoubt;
  }

  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  /** In hand and not settled, or settled and not committed. */
  get isOpen(): boolean {
    return this.#taken.length > 0 || this.#committable !== this.#committed;
  }

  get unsettled(): number {
    return this.#taken.filter(({ isSettled }) => !isSettled).length;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Behind all that is in hand. */
  get next(): bigint {
    return this.#next;
  }

  get hasWaiting(): boolean {
    return this.#turn < this.#taken.length;
  }

  /** The offset to commit; null where there is none, or where it could undo what another member has committed. */
  get uncommitted(): bigint | null {
    return this.#isInDoubt || this.#committable === this.#committed ? null : this.#committable;
  }

  committed(offset: bigint): void {
    this.#committed = offset;
    this.#isCommitted = true;
  }

  /** The group has formed again, and the partition is still or again ours; what is in flight goes on. */
  rejoined(): void {
    this.#isInDoubt = true;
  }

  /** Whether it was set back: by an operator, or because the topic is another one. Null: nothing is committed of it. */
  isSetBackTo(committed: bigint | null): boolean {
    return committed === null ? this.#isCommitted : committed < this.#committed;
  }

  /**
   * What the group has committed of it, null for nothing: ends the doubt. What another member has got over is not ours to
   * deliver any more, or to commit over.
   */
  resume(committed: bigint | null): void {
    this.#isInDoubt = false;
    if (committed !== null) {
      if (committed > this.#committable) this.#skipTo(committed);
      this.#start = committed;
      this.#isCommitted = true;
    }
    this.#isSuspended = false;
    this.#handOverWaiting();
  }

  /**
   * Whether a read from `offset` goes on with what is in hand, perhaps repeating some of it. It does not where the offset
   * was set back. A read ahead of us is one behind a gap, such as compaction and transactions leave.
   */
  continuesAt(offset: bigint): boolean {
    return offset >= this.#start;
  }

  /** Takes what a read that continues has brought, except what is in hand already. */
  take({ messages, next }: Read<M>): void {
    const fresh = messages.filter(({ offset }) => offset >= this.#next);
    fresh.forEach((message, i) => {
      this.#taken.push({ message, next: fresh[i + 1]?.offset ?? next, isSettled: false });
    });
    if (next > this.#next) this.#next = next;
    this.#handOverWaiting();
  }

  /**
   * Aborts what is in flight: the partition may belong to another member by now, and what is delivered late could overtake
   * what that one has delivered. What is settled stays so; the rest waits until the group says that it is still ours.
   */
  suspend(): void {
    this.#isSuspended = true;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#inFlight = 0;
    this.#turn = 0;
  }

  /** No other member was here since the suspension. */
  confirmed(): void {
    if (this.#isInDoubt) return;
    this.#isSuspended = false;
    this.#handOverWaiting();
  }

  /** Hands over no more; what is in flight goes on. */
  close(): void {
    this.#isClosed = true;
  }

  #skipTo(offset: bigint): void {
    this.suspend();
    const kept = this.#taken.findIndex(({ message }) => message.offset >= offset);
    this.#taken.splice(0, kept === -1 ? this.#taken.length : kept);
    this.#committed = offset;
    this.#committable = offset;
    if (offset > this.#next) this.#next = offset;
    this.#advance();
  }

  #handOverWaiting(): void {
    while (
      !this.isHeldBack && !this.#isClosed && this.#inFlight < IN_FLIGHT_MAX && this.#turn < this.#taken.length
    ) {
      const taken = this.#taken[this.#turn++];
      if (taken === undefined || taken.isSettled) continue;
      this.#inFlight++;
      const { signal } = this.#abort;
      this.#handOver(taken.message, signal).then(() => this.#settle(taken, signal), () => {});
    }
  }

  #settle(taken: Taken<M>, signal: AbortSignal): void {
    if (signal.aborted) return;
    taken.isSettled = true;
    this.#inFlight--;
    this.#advance();
    this.#handOverWaiting();
    this.#onSettled();
  }

  /** To behind the settled messages at the front. */
  #advance(): void {
    let done = 0;
    while (this.#taken[done]?.isSettled) done++;
    if (done === 0) return;
    this.#committable = this.#taken[done - 1]?.next ?? this.#committable;
    this.#taken.splice(0, done);
    this.#turn = Math.max(0, this.#turn - done);
  }
}
