/**
 * A single Kafka broker of one's own (KRaft, so without ZooKeeper) on free loopback ports.
 *
 *     await using kafka = await startKafka();
 *     new Kafka({ brokers: [kafka.address("PLAINTEXT")] })
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Broker } from "./broker.ts";
import { Certificates } from "./certificates.ts";
import { findKafka, installKafkaJars, type KafkaProgram } from "./kafka_jars.ts";
import { freePorts } from "./ports.ts";

export type KafkaListener = "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";

export interface KafkaOptions {
  /** Opens SSL, and SASL_SSL where there are users. */
  certificates?: Certificates;
  /** Passwords by name, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. Opens SASL_PLAINTEXT. */
  users?: Readonly<Record<string, string>>;
  /** The port that clients are told to come to, where that is not the listener's own: a proxy's. */
  advertisedPorts?: Partial<Record<KafkaListener, number>>;
  /** Win over ours. */
  properties?: Readonly<Record<string, string>>;
}

const HOST = "127.0.0.1";
const READY = /Kafka Server started/;
const CLUSTER_ID = "aWxhZ2VudC10ZXN0cy0wMQ";
const HEAP = "-Xmx256m";

/** Little code is hot in a test: the fast compiler and the simplest collector start soonest. */
const JAVA_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", HEAP];
const LOG_FLAGS = [
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
  "-Dorg.slf4j.simpleLogger.showDateTime=true",
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
];

export async function startKafka(options: KafkaOptions = {}): Promise<KafkaBroker> {
  const program = findKafka();
  if (program === null) throw new Error("Kafka is not installed: deno task services install");
  const archive = [`-XX:SharedArchiveFile=${program.classArchive}`, "-Xshare:auto"];
  return await KafkaBroker.start(program, archive, options);
}

/** Idempotent. Rejects, with what to do, where Kafka cannot be installed or does not run. */
export async function installKafka(): Promise<void> {
  const program = await installKafkaJars();
  if (existsSync(program.classArchive)) return;
  const draft = `${program.classArchive}.${Deno.pid}`;
  await using certificates = await Certificates.create();
  // All listeners, so that the classes behind them are in the archive too.
  const options = { certificates, users: { install: "install" } };
  await using broker = await KafkaBroker.start(program, [`-XX:ArchiveClassesAtExit=${draft}`], options);
  await broker.stop();
  await Deno.rename(draft, program.classArchive);
}

export class KafkaBroker extends Broker {
  readonly #ports: ReadonlyMap<string, number>;

  private constructor(
    folder: string,
    program: KafkaProgram,
    flags: readonly string[],
    ports: ReadonlyMap<string, number>,
  ) {
    const args = javaArguments(program, flags, "kafka.Kafka", join(folder, "server.properties"));
    super(folder, { name: "Kafka", program: program.java, args, ready: READY });
    this.#ports = ports;
  }

  static async start(
    program: KafkaProgram,
    flags: readonly string[],
    options: KafkaOptions,
  ): Promise<KafkaBroker> {
    const folder = await Deno.makeTempDir({ prefix: "ilagent-kafka-" });
    const ports = await listenerPorts(options);
    const broker = new KafkaBroker(folder, program, flags, ports);
    try {
      await writeConfiguration(folder, ports, options);
      await formatStorage(folder, program, options.users ?? {});
      await broker.run();
      return broker;
    } catch (error) {
      await broker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** `host:port`, for a list of brokers. */
  address(listener: KafkaListener): string {
    return `${HOST}:${this.port(listener)}`;
  }

  port(listener: KafkaListener): number {
    const port = this.#ports.get(listener);
    if (port === undefined) throw new Error(`This Kafka has no listener ${listener}`);
    return port;
  }
}

async function listenerPorts({ certificates, users }: KafkaOptions): Promise<Map<string, number>> {
  const names = ["CONTROLLER", "PLAINTEXT"];
  if (certificates !== undefined) names.push("SSL");
  if (users !== undefined) names.push("SASL_PLAINTEXT");
  if (certificates !== undefined && users !== undefined) names.push("SASL_SSL");
  const ports = await freePorts(names.length);
  return new Map(names.map((name, index) => [name, ports[index] ?? 0]));
}

async function writeConfiguration(
  folder: string,
  ports: ReadonlyMap<string, number>,
  { certificates, users, advertisedPorts = {}, properties = {} }: KafkaOptions,
): Promise<void> {
  const advertised = new Map([...ports, ...Object.entries(advertisedPorts)]);
  advertised.delete("CONTROLLER");
  const all = {
    ...brokerProperties(folder, ports, advertised),
    ...(certificates === undefined ? {} : await tlsProperties(folder, certificates)),
    ...(users === undefined ? {} : saslProperties(users)),
    ...properties,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}=${value}\n`);
  await Deno.writeTextFile(join(folder, "server.properties"), lines.join(""));
}

function brokerProperties(
  folder: string,
  ports: ReadonlyMap<string, number>,
  advertised: ReadonlyMap<string, number>,
): Record<string, string> {
  return {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@${HOST}:${ports.get("CONTROLLER")}`,
    "controller.listener.names": "CONTROLLER",
    "listeners": addresses(ports),
    "advertised.listeners": addresses(advertised),
    "listener.security.protocol.map":
      "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
    "log.dirs": join(folder, "data"),
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    // After a kill it is let in again only once its former session has expired: 14 s by default, so about 4 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
  };
}

async function tlsProperties(folder: string, certificates: Certificates): Promise<Record<string, string>> {
  const keyStore = join(folder, "server.pem"), trustStore = join(folder, "ca.pem");
  const { certFile, keyFile } = certificates.server;
  await Deno.writeTextFile(keyStore, await Deno.readTextFile(keyFile) + await Deno.readTextFile(certFile));
  await Deno.copyFile(certificates.caFile, trustStore);
  return {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": keyStore,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": trustStore,
    "listener.name.ssl.ssl.client.auth": "requested",
  };
}

function saslProperties(users: Readonly<Record<string, string>>): Record<string, string> {
  const accounts = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`).join(" ");
  const security = "org.apache.kafka.common.security";
  const properties: Record<string, string> = {
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
  };
  for (const listener of ["sasl_plaintext", "sasl_ssl"]) {
    const of = (mechanism: string) => `listener.name.${listener}.${mechanism}.sasl.jaas.config`;
    properties[of("plain")] = `${security}.plain.PlainLoginModule required ${accounts};`;
    properties[of("scram-sha-256")] = `${security}.scram.ScramLoginModule required;`;
    properties[of("scram-sha-512")] = `${security}.scram.ScramLoginModule required;`;
  }
  return properties;
}

function addresses(ports: ReadonlyMap<string, number>): string {
  return [...ports].map(([name, port]) => `${name}://${HOST}:${port}`).join(",");
}

async function formatStorage(
  folder: string,
  program: KafkaProgram,
  users: Readonly<Record<string, string>>,
): Promise<void> {
  const credentials = Object.entries(users).flatMap(([name, password]) =>
    ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
      "--add-scram",
      `${mechanism}=[name=${name},password=${password}]`,
    ])
  );
  const format = ["format", "-t", CLUSTER_ID, "-c", join(folder, "server.properties"), ...credentials];
  const flags = [`-XX:SharedArchiveFile=${program.classArchive}`, "-Xshare:auto"];
  const args = javaArguments(program, flags, "kafka.tools.StorageTool", ...format);
  const { success, stdout, stderr } = await new Deno.Command(program.java, { args, stdin: "null" }).output();
  if (success) return;
  const decoder = new TextDecoder();
  throw new Error(`Cannot format Kafka's storage: ${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}

function javaArguments(program: KafkaProgram, flags: readonly string[], ...main: string[]): string[] {
  return [...flags, ...JAVA_FLAGS, ...LOG_FLAGS, "-cp", program.classPath, ...main];
}
