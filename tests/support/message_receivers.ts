import type { BrokerMessage, MessageReceiver } from "../../src/sources/message.ts";

interface Taken {
  readonly topic: string;
  readonly text: string;
  settle(): void;
}

/** Takes messages and settles them when told to. */
export class TestReceiver implements MessageReceiver {
  /** All that was received, repeated ones again. */
  readonly taken: Taken[] = [];
  #isHolding: boolean;
  readonly #held = new Set<() => void>();

  constructor(mode: "settling" | "holding") {
    this.#isHolding = mode === "holding";
  }

  get texts(): string[] {
    return this.taken.map(({ text }) => text);
  }

  receive({ topic, payload }: BrokerMessage, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = () => {
      this.#held.delete(settle);
      signal.removeEventListener("abort", abort);
      resolve();
    };
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    this.#held.add(settle);
    this.taken.push({ topic, text: new TextDecoder().decode(payload), settle });
    if (!this.#isHolding) settle();
    return promise;
  }

  /** Settles what came so far. */
  settleAll(): void {
    for (const settle of [...this.#held]) settle();
  }

  /** From now on everything at once. */
  release(): void {
    this.#isHolding = false;
    this.settleAll();
  }
}
