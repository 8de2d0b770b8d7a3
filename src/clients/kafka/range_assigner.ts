/**
 * Which member of a group reads which partitions: those of each topic in one range per member that subscribes to it.
 * kafkajs' own assigner takes every member for subscribed to every topic, so that two agents of one group with different
 * topics would leave partitions unread. Name and form are those of the "range" that other clients bring along, so that
 * members of both kinds can share a group while one replaces the other.
 */

import { Buffer } from "node:buffer";
import { AssignerProtocol, type PartitionAssigner } from "./client.ts";

const { MemberAssignment, MemberMetadata } = AssignerProtocol;
const NAME = "range", VERSION = 0;

type Partitions = Record<string, number[]>;

export const rangeAssigner: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  protocol: ({ topics }) => ({
    name: NAME,
    metadata: MemberMetadata.encode({ version: VERSION, topics, userData: NO_DATA }),
  }),
  async assign({ members }) {
    const subscriptions = new Map(
      members.map(({ memberId, memberMetadata }) =>
        [memberId, MemberMetadata.decode(memberMetadata)?.topics ?? []] as const
      ),
    );
    const partitionsOf = new Map<string, number[]>();
    for (const topic of new Set([...subscriptions.values()].flat())) {
      // Another member's topic may be missing, or not ours to see; that must not keep this group from forming.
      await cluster.addMultipleTargetTopics([topic]).catch(() => {});
      partitionsOf.set(
        topic,
        cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId),
      );
    }
    const assignments = assignRanges(subscriptions, partitionsOf);
    return [...assignments].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: VERSION, assignment, userData: NO_DATA }),
    }));
  },
});

const NO_DATA = Buffer.alloc(0);

/** Topics by member, and partitions by topic, in; what each member reads, out. */
export function assignRanges(
  subscriptions: ReadonlyMap<string, readonly string[]>,
  partitionsOf: ReadonlyMap<string, readonly number[]>,
): Map<string, Partitions> {
  const assignments = new Map<string, Partitions>([...subscriptions.keys()].map((member) => [member, {}]));
  for (const [topic, unsorted] of partitionsOf) {
    const partitions = unsorted.toSorted((a, b) => a - b);
    const members = [...subscriptions].filter(([, topics]) => topics.includes(topic)).map(([id]) => id)
      .sort();
    const share = Math.floor(partitions.length / members.length);
    const withOneMore = partitions.length % members.length;
    let start = 0;
    members.forEach((member, i) => {
      const end = start + share + (i < withOneMore ? 1 : 0);
      const assignment = assignments.get(member);
      if (assignment !== undefined && end > start) assignment[topic] = partitions.slice(start, end);
      start = end;
    });
  }
  return assignments;
}
