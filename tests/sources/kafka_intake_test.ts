import assert from "node:assert/strict";
import type { Offsets } from "../../src/clients/kafka/client.ts";
import type { KafkaMessage } from "../../src/clients/kafka/group_member.ts";
import { KafkaIntake } from "../../src/sources/kafka_intake.ts";
import { IN_FLIGHT_MAX } from "../../src/sources/kafka_partition.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { memoryLog } from "../support/memory_log.ts";
import { TestReceiver } from "../support/message_receivers.ts";

const TOPIC = "alerts", PARTITION = 0;
const PAUSED_WITHIN_MS = 1_000, COMMITTED_WITHIN_MS = 1_000;

Deno.test("KafkaIntake goes on with what it took back once the group has kept it as a member, without a read", async () => {
  const { reader, receiver, intake } = joined("holding");
  await reader.read("abc");
  intake.suspend();
  assert.deepEqual([receiver.aborted.join(""), intake.inFlight], ["abc", 0]);
  intake.confirmed();
  assert.equal(receiver.texts.join(""), "abcabc");
});

Deno.test("KafkaIntake asks the group when it has formed again: another member may have gone on", async () => {
  const { reader, receiver, intake } = joined("holding");
  await reader.read("abc");
  intake.suspend();
  reader.rejoin();
  intake.confirmed();
  assert.deepEqual([intake.topicsInDoubt, intake.isHeldBack(TOPIC, PARTITION)], [[TOPIC], true]);
  assert.equal(receiver.texts.join(""), "abc");
  reader.committed = 2n;
  reader.answer();
  assert.deepEqual([intake.topicsInDoubt, intake.isHeldBack(TOPIC, PARTITION)], [[], false]);
  assert.equal(receiver.texts.join(""), "abcc");
});

Deno.test("KafkaIntake commits what was settled while the group formed, whether or not more is read", async () => {
  const { reader, receiver, clock } = joined("holding");
  await reader.read("abc");
  reader.rejoin();
  receiver.settleAll();
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, 0n);
  reader.answer();
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, 3n);
});

Deno.test("KafkaIntake no longer speaks of a commit that failed once the group has formed again", async () => {
  const { reader, receiver, intake, clock } = joined("settling");
  reader.refusal = new Error("The coordinator is not aware of this member");
  await reader.read("abc");
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.match(intake.commitFailure?.reason ?? "", /not aware/);
  intake.assigned(new Map());
  assert.equal(intake.commitFailure, null);
  assert.equal(receiver.texts.join(""), "abc");
});

Deno.test("KafkaIntake reads anew from where an operator has set the group back to", async () => {
  const { reader, receiver, clock } = joined("settling");
  await reader.read("abc");
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, 3n);
  receiver.hold();
  await reader.read("abcd");
  reader.committed = 1n;
  reader.rejoin();
  reader.answer();
  await reader.read("abcd");
  assert.equal(receiver.texts.join(""), "abcdbcd");
});

Deno.test("KafkaIntake takes a topic that was deleted for another one, and still delivers what it has of it", async () => {
  const { reader, receiver, intake, clock } = joined("holding");
  await reader.read("abc");
  intake.suspend();
  intake.forget([TOPIC]);
  reader.rejoin();
  await reader.read("xy");
  assert.equal(receiver.texts.join(""), "abcabcxy");
  receiver.settleAll();
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, 2n);
});

Deno.test("KafkaIntake does not read again what is in hand, and repeats nothing of it", async () => {
  const { reader, receiver, intake, clock } = joined("holding");
  await reader.read("abc");
  intake.suspend();
  reader.rejoin();
  reader.answer();
  await reader.read("abc");
  receiver.release();
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, 3n);
  await reader.read("abcd");
  assert.equal(receiver.texts.join(""), "abcabcd");
});

Deno.test("KafkaIntake goes on with a partition that was full when the session was lost", async () => {
  const { reader, receiver, intake, clock } = joined("holding");
  const text = "x".repeat(IN_FLIGHT_MAX + 10);
  const held = reader.read(text);
  await clock.advance(PAUSED_WITHIN_MS);
  await held;
  assert.deepEqual([reader.isPaused, reader.position], [true, BigInt(text.length)]);
  intake.suspend();
  reader.rejoin();
  receiver.release();
  reader.answer();
  await reader.read(text + "y");
  await reader.read(text + "y");
  assert.deepEqual([reader.isPaused, intake.inFlight], [false, 0]);
  assert.equal(receiver.texts.slice(IN_FLIGHT_MAX).join(""), text + "y");
});

Deno.test("KafkaIntake reads on in a full partition that another member has got beyond", async () => {
  const { reader, intake, clock } = joined("holding");
  const text = "x".repeat(IN_FLIGHT_MAX + 10);
  const held = reader.read(text);
  await clock.advance(PAUSED_WITHIN_MS);
  await held;
  assert.equal(reader.isPaused, true);
  reader.committed = 100n;
  reader.rejoin();
  reader.answer();
  assert.deepEqual([reader.isPaused, intake.inFlight], [false, 0]);
});

Deno.test("KafkaIntake waits at its end for what it has of a deleted topic, and says what was not delivered", async () => {
  const { reader, receiver, intake, clock, log } = joined("holding");
  await reader.read("abc");
  intake.forget([TOPIC]);
  assert.equal(intake.inFlight, 3);
  receiver.taken[0]?.settle();
  const drained = intake.drain(PAUSED_WITHIN_MS);
  await clock.advance(PAUSED_WITHIN_MS);
  await drained;
  await intake.end();
  assert.equal(receiver.aborted.join(""), "bc");
  assert.match(log.lines.join("\n"), /error .*deleted topics.*"count":2/);
});

Deno.test("KafkaIntake pauses nothing after a session was lost while a full partition held back the next fetch", async () => {
  const { reader, receiver, intake, clock } = joined("holding");
  const text = "x".repeat(IN_FLIGHT_MAX + 10);
  const held = reader.read(text);
  intake.suspend();
  await held;
  await clock.advance(PAUSED_WITHIN_MS);
  assert.equal(reader.isPaused, false);
  receiver.release();
  intake.confirmed();
  await clock.advance(COMMITTED_WITHIN_MS);
  assert.equal(reader.committed, BigInt(text.length));
});

function joined(mode: "holding" | "settling") {
  const clock = new FakeClock();
  const receiver = new TestReceiver(mode), log = memoryLog();
  const intake = new KafkaIntake(receiver, { clock, log });
  const reader = new Reader(intake);
  reader.rejoin();
  return { clock, receiver, intake, reader, log };
}

/** One partition of one topic, a letter a message, and a member of the group that reads it as kafkajs does. */
class Reader {
  position = 0n;
  committed = 0n;
  isPaused = false;
  /** Of commits. */
  refusal: Error | null = null;
  readonly #intake: KafkaIntake;

  constructor(intake: KafkaIntake) {
    this.#intake = intake;
    intake.attach({
      pause: () => this.isPaused = true,
      resume: () => this.isPaused = false,
      commit: (offsets: ReadonlyMap<string, Offsets>) => {
        if (this.refusal !== null) return Promise.reject(this.refusal);
        this.committed = offsets.get(TOPIC)?.get(PARTITION) ?? this.committed;
        return Promise.resolve();
      },
    });
  }

  /** The group has formed again; reading begins where the group stands. */
  rejoin(): void {
    this.position = this.committed;
    this.#intake.assigned(new Map([[TOPIC, [PARTITION]]]));
  }

  /** What the group has committed. */
  answer(): void {
    this.#intake.resume(new Map([[TOPIC, new Map([[PARTITION, this.committed]])]]));
  }

  /** From where it stands to the end of what the partition holds. */
  async read(letters: string): Promise<void> {
    if (this.isPaused) return;
    const from = this.position, next = BigInt(letters.length);
    const messages = [...letters].map((letter, offset): KafkaMessage => ({
      offset: BigInt(offset),
      key: null,
      payload: new TextEncoder().encode(letter),
    })).slice(Number(from));
    if (messages.length === 0) return;
    const fetched = this.#intake.fetched({ topic: TOPIC, partition: PARTITION, from, next, messages });
    this.position = fetched.next;
    await fetched.processed;
  }
}
