import assert from "node:assert/strict";
import fc from "fast-check";
import { IN_FLIGHT_MAX, PartitionProgress, type Read } from "../../src/sources/kafka_partition.ts";

Deno.test("PartitionProgress commits the settled prefix only, in whatever order messages settle", async () => {
  const order = fc.shuffledSubarray([...Array(20).keys()], { minLength: 20, maxLength: 20 });
  await fc.assert(fc.asyncProperty(order, async (settling) => {
    const hands = new Hands();
    const progress = new PartitionProgress(100n, hands.take, () => {});
    progress.take(readOf(100n, 20));
    const settled = new Set<number>();
    for (const n of settling) {
      await hands.settle(100n + BigInt(n));
      settled.add(n);
      let prefix = 0;
      while (settled.has(prefix)) prefix++;
      assert.equal(progress.uncommitted, prefix === 0 ? null : 100n + BigInt(prefix));
    }
  }));
});

Deno.test("PartitionProgress commits across gaps, up to where the read ended", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(5n, hands.take, () => {});
  progress.take({ messages: [{ offset: 7n }, { offset: 12n }], next: 15n });
  await hands.settle(7n);
  assert.equal(progress.uncommitted, 12n);
  progress.committed(12n);
  assert.equal(progress.uncommitted, null);
  await hands.settle(12n);
  assert.equal(progress.uncommitted, 15n);
});

Deno.test("PartitionProgress hands over at most IN_FLIGHT_MAX at once, in the order of the offsets", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, IN_FLIGHT_MAX + 10));
  assert.equal(progress.inFlight, IN_FLIGHT_MAX);
  assert.equal(progress.hasWaiting, true);
  for (let offset = 20n; offset < 30n; offset++) await hands.settle(offset);
  assert.equal(progress.hasWaiting, false);
  assert.deepEqual(hands.taken, messagesFrom(0n, IN_FLIGHT_MAX + 10).map(({ offset }) => offset));
});

Deno.test("PartitionProgress takes nothing twice when the group has formed again and reads from its last commit", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, 4));
  await hands.settle(2n);
  progress.rejoined();
  progress.resume(null);
  assert.equal(progress.continuesAt(0n), true);
  progress.take(readOf(0n, 6));
  assert.deepEqual(hands.taken, [0n, 1n, 2n, 3n, 4n, 5n]);
  for (const offset of [0n, 1n, 3n, 4n, 5n]) await hands.settle(offset);
  assert.equal(progress.uncommitted, 6n);
});

Deno.test("PartitionProgress commits and hands over nothing until the group has said that nobody else has gone on", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, IN_FLIGHT_MAX + 1));
  progress.rejoined();
  await hands.settle(0n);
  assert.equal(progress.uncommitted, null);
  assert.equal(hands.taken.length, IN_FLIGHT_MAX);
  progress.resume(0n);
  assert.equal(progress.uncommitted, 1n);
  assert.equal(hands.taken.length, IN_FLIGHT_MAX + 1);
});

Deno.test("PartitionProgress leaves to another member what that one has got over, and commits nothing over it", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, 5));
  await hands.settle(0n);
  progress.rejoined();
  progress.resume(3n);
  assert.deepEqual(hands.aborted, [1n, 2n, 3n, 4n]);
  assert.deepEqual(hands.taken.slice(5), [3n, 4n]);
  assert.equal(progress.uncommitted, null);
  progress.take(readOf(3n, 3));
  assert.deepEqual(hands.taken.slice(5), [3n, 4n, 5n]);
  await hands.settle(3n);
  assert.equal(progress.uncommitted, 4n);
});

Deno.test("PartitionProgress reads on where another member has got beyond all that is in hand", () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, 2));
  progress.rejoined();
  progress.resume(7n);
  assert.equal(progress.isOpen, false);
  assert.equal(progress.next, 7n);
});

Deno.test("PartitionProgress commits what it has settled itself behind another member's commit", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, 5));
  for (const offset of [3n, 4n]) await hands.settle(offset);
  progress.rejoined();
  progress.resume(3n);
  assert.equal(progress.uncommitted, 5n);
});

Deno.test("PartitionProgress takes it for another topic when nothing is committed any more", () => {
  const progress = new PartitionProgress(0n, new Hands().take, () => {});
  progress.take(readOf(0n, 2));
  progress.rejoined();
  assert.equal(progress.isSetBackTo(null), false);
  progress.resume(1n);
  progress.rejoined();
  assert.equal(progress.isSetBackTo(null), true);
});

Deno.test("PartitionProgress goes on behind a gap, but not where the offset was set back", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(10n, hands.take, () => {});
  progress.take(readOf(10n, 2));
  await hands.settle(10n);
  assert.deepEqual([progress.isSetBackTo(null), progress.isSetBackTo(10n)], [false, false]);
  progress.committed(11n);
  assert.deepEqual([progress.isSetBackTo(null), progress.isSetBackTo(10n), progress.isSetBackTo(11n)], [
    ...[true, true, false],
  ]);
  assert.equal(progress.continuesAt(10n), true, "a read that began before the commit");
  assert.equal(progress.continuesAt(14n), true);
  assert.equal(progress.continuesAt(3n), false);
});

Deno.test("PartitionProgress.suspend() aborts what is in flight and hands only that over again, in order", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, 5));
  await hands.settle(1n);
  await hands.settle(3n);
  progress.suspend();
  assert.deepEqual(hands.aborted, [0n, 2n, 4n]);
  assert.equal(progress.inFlight, 0);
  hands.taken.length = 0;
  progress.rejoined();
  progress.resume(0n);
  progress.take(readOf(0n, 6));
  assert.deepEqual(hands.taken, [0n, 2n, 4n, 5n]);
  for (const offset of hands.taken) await hands.settle(offset);
  assert.equal(progress.uncommitted, 6n);
});

Deno.test("PartitionProgress.close() lets what is in flight settle and hands over no more", async () => {
  const hands = new Hands();
  const progress = new PartitionProgress(0n, hands.take, () => {});
  progress.take(readOf(0n, IN_FLIGHT_MAX + 5));
  progress.close();
  for (let offset = 0n; offset < BigInt(IN_FLIGHT_MAX); offset++) await hands.settle(offset);
  assert.equal(hands.taken.length, IN_FLIGHT_MAX);
  assert.equal(progress.uncommitted, BigInt(IN_FLIGHT_MAX));
});

class Hands {
  readonly taken: bigint[] = [];
  readonly aborted: bigint[] = [];
  readonly #open = new Map<bigint, () => void>();

  readonly take = ({ offset }: { offset: bigint }, signal: AbortSignal): Promise<void> => {
    this.taken.push(offset);
    return new Promise((resolve, reject) => {
      this.#open.set(offset, resolve);
      signal.addEventListener("abort", () => {
        if (this.#open.get(offset) !== resolve) return;
        this.aborted.push(offset);
        reject(signal.reason);
      });
    });
  };

  async settle(offset: bigint): Promise<void> {
    const resolve = this.#open.get(offset);
    assert.ok(resolve, `${offset} is in hand`);
    this.#open.delete(offset);
    resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
}

function readOf(from: bigint, count: number): Read<{ offset: bigint }> {
  return { messages: messagesFrom(from, count), next: from + BigInt(count) };
}

function messagesFrom(start: bigint, count: number): { offset: bigint }[] {
  return Array.from({ length: count }, (_, n) => ({ offset: start + BigInt(n) }));
}
