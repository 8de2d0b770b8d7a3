import type { BrokerMessage, MessageReceiver } from "../../src/sources/message.ts";

interface Taken {
  readonly topic: string;
  readonly key: string | null;
  readonly text: string;
  settle(): void;
}

/** Takes messages and settles them when told to. */
export class TestReceiver implements MessageReceiver {
  /** All that was received, repeated ones again. */
  readonly taken: Taken[] = [];
  /** Those whose signal was aborted before they were settled. */
  readonly aborted: string[] = [];
  #isHeld: (text: string) => boolean;
  readonly #held = new Set<() => void>();

  /** Or holds those that the function names. */
  constructor(mode: "settling" | "holding" | ((text: string) => boolean)) {
    this.#isHeld = typeof mode === "string" ? () => mode === "holding" : mode;
  }

  get texts(): string[] {
    return this.taken.map(({ text }) => text);
  }

  get held(): number {
    return this.#held.size;
  }

  receive({ topic, key, payload }: BrokerMessage, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const text = new TextDecoder().decode(payload);
    const settle = () => {
      this.#held.delete(settle);
      signal.removeEventListener("abort", abort);
      resolve();
    };
    const abort = () => {
      this.aborted.push(text);
      this.#held.delete(settle);
      reject(signal.reason);
    };
    this.#held.add(settle);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    this.taken.push({ topic, key, text, settle });
    if (!this.#isHeld(text)) settle();
    return promise;
  }

  /** Settles what came so far. */
  settleAll(): void {
    for (const settle of [...this.#held]) settle();
  }

  /** From now on everything is held. */
  hold(): void {
    this.#isHeld = () => true;
  }

  /** From now on everything at once. */
  release(): void {
    this.#isHeld = () => false;
    this.settleAll();
  }
}
