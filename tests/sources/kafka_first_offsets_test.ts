import assert from "node:assert/strict";
import type { Offsets } from "../../src/clients/kafka/client.ts";
import { FirstOffsets } from "../../src/sources/kafka_first_offsets.ts";

Deno.test("FirstOffsets commits the ends of a topic as they were when it was first seen", async () => {
  const group = new Group(new Map([["t", offsets([5, 7])]]));
  const first = new FirstOffsets("g");
  await first.look(group, ["t"]);
  group.endsOf.set("t", offsets([6, 9]));
  await first.look(group, ["t"]);
  assert.equal(first.isPending("t"), true);
  assert.deepEqual(await first.commit(group, group), new Map([["t", offsets([5, 7])]]));
  assert.deepEqual(group.committedOf.get("t"), offsets([5, 7]));
  first.done(["t"]);
  assert.equal(first.isPending("t"), false);
  assert.deepEqual(await first.commit(group, group), new Map());
});

Deno.test("FirstOffsets leaves a topic alone that the group knows, and its new partitions to their beginning", async () => {
  const group = new Group(new Map([["t", offsets([5, 7])]]));
  group.committedOf.set("t", offsets([5]));
  const first = new FirstOffsets("g");
  await first.look(group, ["t"]);
  assert.equal(first.isPending("t"), false);
});

Deno.test("FirstOffsets skips nothing of a topic that was waited for", async () => {
  const group = new Group(new Map([["t", offsets([5, 7])]]));
  const first = new FirstOffsets("g");
  first.missing(["t"]);
  await first.look(group, ["t"]);
  assert.equal(first.isPending("t"), false);
});

Deno.test("FirstOffsets takes what a faster member has committed, and does not set it back", async () => {
  const group = new Group(new Map([["t", offsets([5, 7])]]));
  const first = new FirstOffsets("g");
  await first.look(group, ["t"]);
  group.committedOf.set("t", offsets([8, 7]));
  assert.deepEqual(await first.commit(group, group), new Map([["t", offsets([8, 7])]]));
  assert.deepEqual(group.committedOf.get("t"), offsets([8, 7]));
});

class Group {
  readonly endsOf: Map<string, Offsets>;
  readonly committedOf = new Map<string, Offsets>();

  constructor(ends: Map<string, Offsets>) {
    this.endsOf = ends;
  }

  committed(_groupId: string, topics: string[]): Promise<Map<string, Offsets>> {
    return Promise.resolve(new Map(topics.map((topic) => [topic, this.committedOf.get(topic) ?? new Map()])));
  }

  ends(topic: string): Promise<Offsets> {
    return Promise.resolve(this.endsOf.get(topic) ?? new Map());
  }

  commit(offsets: ReadonlyMap<string, Offsets>): Promise<void> {
    for (const [topic, byPartition] of offsets) this.committedOf.set(topic, byPartition);
    return Promise.resolve();
  }
}

function offsets(list: number[]): Offsets {
  return new Map(list.map((offset, partition) => [partition, BigInt(offset)]));
}
