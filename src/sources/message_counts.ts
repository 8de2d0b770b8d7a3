/** What became of the messages of one broker: `received = settled + in flight`, at all times. */

/** How a message was settled. */
export const MESSAGE_ENDS = [
  /** Its event was taken by ilert. */
  "delivered",
  /** It is durable in the queue. */
  "stored",
  "heartbeat",
  /** Its policy update was done. */
  "policy",
  "filtered",
  "dead_letter",
  /** Its broker took it back, and delivers it again. */
  "given_back",
] as const;

export type MessageEnd = typeof MESSAGE_ENDS[number];

export class MessageCounts {
  readonly settled: Record<MessageEnd, number> = {
    delivered: 0,
    stored: 0,
    heartbeat: 0,
    policy: 0,
    filtered: 0,
    dead_letter: 0,
    given_back: 0,
  };
  #received = 0;
  #inFlight = 0;

  get received(): number {
    return this.#received;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  arrived(): void {
    this.#received++;
    this.#inFlight++;
  }

  ended(end: MessageEnd): void {
    this.#inFlight--;
    this.settled[end]++;
  }
}
