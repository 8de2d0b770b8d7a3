/** Posts as a bare `fetch` does them, so many at a time. */

export class BarePosts {
  readonly #url: string;
  readonly #inFlightMax: number;
  readonly #client: Deno.HttpClient;
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  #failure: Error | null = null;
  #drained: (() => void) | null = null;

  constructor(apiUrl: string, inFlightMax: number) {
    this.#url = `${apiUrl}/api/events`;
    this.#inFlightMax = inFlightMax;
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: inFlightMax });
  }

  /** Resolves when it is on its way. */
  async begin(body: Uint8Array<ArrayBuffer>): Promise<void> {
    while (this.#inFlight >= this.#inFlightMax) await new Promise<void>((go) => this.#waiting.push(go));
    void this.post(body);
  }

  /** Resolves when it is answered. Whether it failed `drained()` tells. */
  async post(body: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#inFlight++;
    try {
      const headers = { "content-type": "application/json" };
      const response = await fetch(this.#url, { method: "POST", headers, body, client: this.#client });
      // Quicker than reading it, and the agent does the same.
      await response.body?.cancel();
      if (response.status !== 202) throw new Error(`the emulated API answered ${response.status}`);
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#inFlight--;
    this.#waiting.shift()?.();
    if (this.#inFlight === 0) this.#drained?.();
  }

  /** Ends it. Rejects where a post has failed. */
  async drained(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((drained) => this.#drained = drained);
    this.#client.close();
    if (this.#failure !== null) throw this.#failure;
  }
}
