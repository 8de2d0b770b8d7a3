import type { DeadItem, EdgeStore, ReturnedItem, ReturnedSettlement } from "../../src/edge/edge_store.ts";

/** The edge connector's store in memory, with a disk that can be held. */
export class MemoryEdgeStore implements EdgeStore {
  /** What is durable. */
  cursor = "0";
  readonly dead = new Map<string, DeadItem>();
  returned: ReturnedItem[] = [];
  full: string | null = null;
  /** Every position the cursor was moved to. */
  readonly moves: string[] = [];
  #wanted = "0";
  #disk: Promise<void> = Promise.resolve();
  #release = () => {};

  /** Nothing becomes durable until `releaseDisk()`. */
  holdDisk(): void {
    this.#disk = new Promise((resolve) => this.#release = resolve);
  }

  releaseDisk(): void {
    this.#release();
  }

  moveCursor(id: string): void {
    this.moves.push(id);
    this.#wanted = id;
    void this.cursorKept();
  }

  hastenCursor(): void {}

  async cursorKept(): Promise<void> {
    await this.#disk;
    this.cursor = this.#wanted;
  }

  async bury(dead: DeadItem, cursor: string | null): Promise<void> {
    await this.#disk;
    this.dead.set(dead.id, dead);
    if (cursor !== null) this.cursor = this.#wanted = cursor;
  }

  firstReturned(): ReturnedItem | null {
    return this.returned[0] ?? null;
  }

  async settleReturned(settled: ReturnedItem, settlement: ReturnedSettlement): Promise<void> {
    await this.#disk;
    const { letterId, item, attempts } = settled;
    if (settlement.kind === "waiting") {
      this.returned = this.returned.map((one) =>
        one.letterId === letterId ? { letterId, item, attempts: attempts + 1 } : one
      );
      return;
    }
    this.returned = this.returned.filter((one) => one.letterId !== letterId);
    if (settlement.kind === "dead") {
      this.dead.set(item.id, { ...settlement, id: item.id, payload: item.body, alertId: "" });
    }
  }
}
