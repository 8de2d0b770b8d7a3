/**
 * Where a new group starts with `--kafka_from latest`: at the end of each topic as it was when the agent first saw it. That
 * is committed before anything is consumed, so that messages which come while no agent runs are not skipped later. Kafka
 * itself would look for the end anew at each start, until something is committed.
 */

import type { KafkaClient, Offsets } from "../clients/kafka/client.ts";
import type { GroupMember } from "../clients/kafka/group_member.ts";

type Lookup = Pick<KafkaClient, "committed" | "ends">;

export class FirstOffsets {
  readonly #groupId: string;
  readonly #seen = new Set<string>();
  /** Of topics that the group has no offset of. A partition that is added later is not here: it is read from its start. */
  readonly #ends = new Map<string, Offsets>();

  constructor(groupId: string) {
    this.#groupId = groupId;
  }

  isPending(topic: string): boolean {
    return this.#ends.has(topic);
  }

  /** These do not exist yet: once they do, nothing of them is skipped. */
  missing(topics: readonly string[]): void {
    for (const topic of topics) this.#seen.add(topic);
  }

  /** Notes the end of each topic that is new to the group. */
  async look(client: Lookup, topics: readonly string[]): Promise<void> {
    const unseen = topics.filter((topic) => !this.#seen.has(topic));
    if (unseen.length === 0) return;
    const committed = await client.committed(this.#groupId, unseen);
    for (const topic of unseen) {
      if (isNew(committed.get(topic))) this.#ends.set(topic, await client.ends(topic));
      this.#seen.add(topic);
    }
  }

  /** Commits, as a member of the group, what is pending. Answers with where to read these topics, to be `done()` then. */
  async commit(client: Lookup, member: Pick<GroupMember, "commit">): Promise<ReadonlyMap<string, Offsets>> {
    if (this.#ends.size === 0) return new Map();
    // Another new member may have been faster, and may have gone on since.
    const starts = await client.committed(this.#groupId, [...this.#ends.keys()]);
    const own = new Map([...this.#ends].filter(([topic]) => isNew(starts.get(topic))));
    if (own.size > 0) await member.commit(own);
    for (const [topic, ends] of own) starts.set(topic, ends);
    return starts;
  }

  done(topics: Iterable<string>): void {
    for (const topic of topics) this.#ends.delete(topic);
  }
}

function isNew(committed: Offsets | undefined): boolean {
  return committed === undefined || committed.size === 0;
}
