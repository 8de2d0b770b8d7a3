/**
 * Runs a callback in the next turn of the event loop: after what has already arrived, and far sooner than the shortest
 * timer. At most one call is pending.
 */
export class NextTurn implements Disposable {
  readonly #channel = new MessageChannel();
  #isPending = false;

  constructor(callback: () => void) {
    this.#channel.port1.onmessage = () => {
      this.#isPending = false;
      callback();
    };
  }

  request(): void {
    if (this.#isPending) return;
    this.#isPending = true;
    this.#channel.port2.postMessage(null);
  }

  [Symbol.dispose](): void {
    this.#channel.port1.close();
    this.#channel.port2.close();
  }
}
