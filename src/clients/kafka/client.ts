/** A Kafka cluster, and what can be asked of it. The only importer of kafkajs. */

import {
  type Admin,
  CompressionCodecs,
  CompressionTypes,
  Kafka,
  type LogEntry,
  logLevel,
  type SASLOptions,
} from "kafkajs";
import type { ConnectionOptions } from "node:tls";
import type { Log } from "../../runtime/log.ts";
import type { KafkaConnection } from "../kafka_connection.ts";
import { readTlsMaterial, type TlsMaterial } from "../tls_material.ts";
import { DECOMPRESSORS } from "./decompression.ts";
import { addressOf, CLOSED, KafkaSockets, type Refusal } from "./sockets.ts";

export {
  AssignerProtocol,
  type Consumer,
  type EachBatchPayload,
  type Message,
  type PartitionAssigner,
  type PartitionerArgs,
  Partitioners,
  type Producer,
  type RecordMetadata,
} from "kafkajs";

export interface KafkaClientDeps {
  log: Log;
  /** Told `host:port` of a broker that this thread has no right to reach. */
  onBrokerRefused: (address: string) => void;
}

interface KafkaClientOptions {
  /** For what kafkajs says; null keeps that to itself. */
  log: Log | null;
  refusal: Refusal;
}

/** By partition. */
export type Offsets = ReadonlyMap<number, bigint>;

/** The longest an answer may take. Short, because an outage has to show in the readiness within 10 s. */
const REQUEST_TIMEOUT_MS = 6_000;
const CONNECT_TIMEOUT_MS = 3_000;
/** kafkajs gives up early: whoever uses it begins anew, says why, and does not hide an outage. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 };
const RETRY_LOOKUP = { ...RETRY, retries: 2 };
/** Of kafkajs, for each client. */
const MESSAGES_MAX = 100;
/** What kafkajs takes for "no offset committed". */
const NONE = -1n;

for (const { type, decompress } of DECOMPRESSORS) {
  CompressionCodecs[CompressionTypes[type]] = () => ({
    compress: () => Promise.reject(new Error(`${type} is only read`)),
    decompress: (bytes: Uint8Array) => Promise.resolve(decompress(bytes)),
  });
}

export class KafkaClient implements Disposable {
  readonly kafka: Kafka;
  readonly #sockets: KafkaSockets;
  readonly #closed = Promise.withResolvers<never>();

  private constructor(connection: KafkaConnection, tls: TlsMaterial | null, options: KafkaClientOptions) {
    const { log, refusal } = options;
    const sockets = new KafkaSockets(refusal);
    const aliases = new Map<string, string>();
    this.#sockets = sockets;
    this.#closed.promise.catch(() => {});
    this.kafka = new Kafka({
      clientId: "ilagent",
      brokers: connection.brokers.map((address) => withoutColons(address, aliases)),
      ...(tls === null ? {} : { ssl: given(tls) }),
      ...(connection.sasl === null ? {} : { sasl: { ...connection.sasl } as SASLOptions }),
      connectionTimeout: CONNECT_TIMEOUT_MS,
      authenticationTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      retry: RETRY,
      logLevel: log?.isEnabledFor("debug") ? logLevel.WARN : logLevel.NOTHING,
      logCreator: () => onceEach((message) => log?.debug("kafkajs: {message}", { message })),
      socketFactory: ({ host, port, ssl, onConnect }) =>
        sockets.connect({ host: aliases.get(host) ?? host, port }, tls === null ? null : ssl, onConnect),
    });
  }

  /** Reads the TLS files, and connects to nothing yet. Rejects, with one clause, where one of them cannot be used. */
  static async open(connection: KafkaConnection, deps: KafkaClientDeps): Promise<KafkaClient> {
    const refusal: Refusal = { kind: "fails", onRefused: deps.onBrokerRefused };
    return await KafkaClient.#open(connection, { log: deps.log, refusal });
  }

  /**
   * One that asks those to begin with only, whatever else the cluster names: for `brokers()`. Rejects as `open()` does.
   */
  static async openForSearch(connection: KafkaConnection): Promise<KafkaClient> {
    return await KafkaClient.#open(connection, { log: null, refusal: { kind: "goes_elsewhere" } });
  }

  static async #open(connection: KafkaConnection, options: KafkaClientOptions): Promise<KafkaClient> {
    if (connection.tls === null) return new KafkaClient(connection, null, options);
    const reading = await readTlsMaterial(connection.tls, Date.now());
    if (reading.kind === "invalid") throw new Error(reading.reason);
    return new KafkaClient(connection, reading.material, options);
  }

  /** `host:port` of each broker, as the cluster tells its clients. */
  async brokers(): Promise<string[]> {
    return await this.#ask(async (admin) => {
      const { brokers } = await admin.describeCluster();
      return brokers.map(addressOf);
    });
  }

  /** Those of the topics that exist. */
  async existing(topics: readonly string[]): Promise<string[]> {
    return await this.#ask(async (admin) => {
      const found: string[] = [];
      for (const topic of topics) {
        if (await exists(admin, topic)) found.push(topic);
      }
      return found;
    });
  }

  /** The committed offsets of each topic; none for a partition without one. */
  async committed(groupId: string, topics: string[]): Promise<Map<string, Offsets>> {
    const answers = await this.#ask((admin) => admin.fetchOffsets({ groupId, topics }));
    return new Map(answers.map(({ topic, partitions }) => {
      const offsets = partitions.map(({ partition, offset }) => [partition, BigInt(offset)] as const);
      return [topic, new Map(offsets.filter(([, offset]) => offset !== NONE))];
    }));
  }

  /** Where the next message of each partition will be. */
  async ends(topic: string): Promise<Offsets> {
    const answers = await this.#ask((admin) => admin.fetchTopicOffsets(topic));
    return new Map(answers.map(({ partition, high }) => [partition, BigInt(high)]));
  }

  /** Ends all connections at once, and whatever is being asked. */
  [Symbol.dispose](): void {
    this.#sockets[Symbol.dispose]();
    this.#closed.reject(new Error(CLOSED));
  }

  /** Once closed, kafkajs tries for some seconds more to connect. */
  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    return await Promise.race([this.#answer(question), this.#closed.promise]);
  }

  async #answer<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin({ retry: RETRY_LOOKUP });
    try {
      await admin.connect();
      return await question(admin);
    } finally {
      await admin.disconnect();
    }
  }
}

/** What went wrong, in one clause: below kafkajs' own wrappings. */
export function kafkaFailureOf(error: unknown): string {
  let inmost = error;
  while (inmost instanceof Error && inmost.cause instanceof Error) inmost = inmost.cause;
  const { message, broker } = inmost as Error & { broker?: string };
  const text = (message ?? String(inmost)).replace(/^(Connection error|Failed to connect): /, "");
  return broker === undefined || text.includes(broker) ? text : `${text} (${broker})`;
}

/** As Kafka names its errors, such as MESSAGE_TOO_LARGE; null for any other. */
export function protocolErrorOf(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { type } = at as Error & { type?: unknown };
    if (typeof type === "string") return type;
  }
  return null;
}

async function exists(admin: Admin, topic: string): Promise<boolean> {
  try {
    await admin.fetchTopicMetadata({ topics: [topic] });
    return true;
  } catch (error) {
    if (protocolErrorOf(error) === "UNKNOWN_TOPIC_OR_PARTITION") return false;
    throw error;
  }
}

/** Without the nulls, which TLS takes for values. */
function given({ ca, cert, key }: TlsMaterial): ConnectionOptions {
  return {
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
  };
}

/** A client that cannot connect says so many times a second. */
function onceEach(say: (message: string) => void): (entry: LogEntry) => void {
  const said = new Set<string>();
  return ({ log: { message } }) => {
    if (said.has(message) || said.size >= MESSAGES_MAX) return;
    said.add(message);
    say(message);
  };
}

/** kafkajs splits an address at its first colon, so an IPv6 one goes under another name until it is connected to. */
function withoutColons(address: string, aliases: Map<string, string>): string {
  const [, host, port] = address.match(/^\[(.+)\]:(\d+)$/) ?? [];
  if (host === undefined) return address;
  const alias = `ipv6-${aliases.size}.invalid`;
  aliases.set(alias, host);
  return `${alias}:${port}`;
}
