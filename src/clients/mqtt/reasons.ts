/** What brokers answer to SUBSCRIBE and PUBLISH, classified. */

export type Grant =
  | { kind: "granted"; qos: number }
  | { kind: "refused"; reason: string };

export type PublishAnswer =
  /** The broker has it; at QoS 0: it is written. */
  | { kind: "accepted" }
  /** "message": it is this message that the broker will not take, whenever it is sent. */
  | { kind: "refused"; reason: string; blames: "message" | "circumstances" }
  /** The connection ended before the answer. */
  | { kind: "lost" };

/** MQTT 5, section 2.4; those that a broker may have for us, and 3.1.1's only failure of a SUBSCRIBE, 0x80. */
const REASONS: Readonly<Record<number, string>> = {
  0x00: "no reason given",
  0x80: "refused without a reason",
  0x81: "malformed packet",
  0x82: "protocol error",
  0x83: "a reason of the broker's own",
  0x87: "not authorized",
  0x89: "the broker is busy",
  0x8b: "the broker is shutting down",
  0x8d: "it heard nothing from the agent in time",
  0x8e: "another client uses this client id",
  0x8f: "the topic filter is invalid",
  0x90: "the topic name is invalid",
  0x91: "the packet identifier is in use",
  0x93: "too many unacknowledged messages",
  0x95: "the packet is too large",
  0x96: "too many messages a second",
  0x97: "a quota is exceeded",
  0x98: "an administrator's action",
  0x99: "the payload does not have the form it says",
  0x9a: "retained messages are not supported",
  0x9b: "this QoS is not supported",
  0x9c: "another server is to be used",
  0x9d: "the server has moved",
  0x9e: "the broker has no shared subscriptions",
  0x9f: "too many connections a second",
  0xa0: "the time for one connection is over",
  0xa2: "the broker has no wildcard subscriptions",
};

/** The same message would be refused again: MQTT 5 codes for its size and its form. */
const MESSAGE_REFUSED: readonly number[] = [0x95, 0x99];

const FAILURES_FROM = 0x80;

export function reasonText(code: number): string {
  return REASONS[code] ?? `reason code ${code}`;
}

/** One return code of a SUBACK. */
export function granted(code: unknown): Grant {
  if (typeof code !== "number") return { kind: "refused", reason: "no answer for this topic" };
  return code < FAILURES_FROM
    ? { kind: "granted", qos: code }
    : { kind: "refused", reason: reasonText(code) };
}

/** Of what mqtt.js calls back with: nothing, an error with the broker's reason code, or any other. */
export function publishAnswerOf(error: Error | null | undefined): PublishAnswer {
  if (!error) return { kind: "accepted" };
  const code = "code" in error && typeof error.code === "number" ? error.code : null;
  if (code === null) return { kind: "lost" };
  return {
    kind: "refused",
    reason: reasonText(code),
    blames: MESSAGE_REFUSED.includes(code) ? "message" : "circumstances",
  };
}
