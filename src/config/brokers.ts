/** How to reach the brokers: addresses, credentials and TLS files, checked against each other. */

import { resolve } from "node:path";
import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { MqttConnection } from "../clients/mqtt_connection.ts";
import { failureOf } from "../runtime/failure.ts";
import type { TlsFiles } from "../runtime/tls_files.ts";
import type { FlagName, FlagValues } from "./flags.ts";
import { bracketed, type BrokerAddress } from "./values.ts";

/** What the configuration names on disk. */
export interface NamedFiles {
  /** Throws where the file cannot be read. */
  readFile(path: string): string;
  /** Throws where there is no such file. */
  isExecutable(path: string): boolean;
}

/** What is wrong ends the start, what is odd is said once in the log. */
export interface Findings {
  problems: string[];
  warnings: string[];
}

const DEFAULT_PORTS = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

/** Null without `--mqtt_host`. */
export function mqttConnection(
  values: FlagValues,
  files: NamedFiles,
  findings: Findings,
): MqttConnection | null {
  const { mqtt_host: address, mqtt_username: username, mqtt_password: password } = values;
  if (address === undefined) return null;
  if (username !== undefined && password === undefined) {
    findings.problems.push(
      "--mqtt_username: needs a password too; set ILAGENT_MQTT_PASSWORD or --mqtt_password",
    );
  }
  if (password !== undefined && username === undefined) {
    findings.problems.push("--mqtt_password: needs a user name too; give --mqtt_username");
  }
  const scheme = schemeOf(address, values.mqtt_tls ?? false);
  const isSecure = scheme === "mqtts" || scheme === "wss";
  const tls = isSecure ? tlsFiles("mqtt", values, files, findings) : null;
  for (const name of ["mqtt_ca", "mqtt_client_cert", "mqtt_client_key"] as const) {
    if (!isSecure && values[name] !== undefined) {
      findings.warnings.push(`--${name} has no effect without --mqtt_tls: the connection is not encrypted`);
    }
  }
  return {
    url: `${scheme}://${bracketed(address.hostname)}:${portOf(address, values, findings)}${address.path}`,
    clientId: values.mqtt_name ?? null,
    username: username ?? null,
    password: password ?? null,
    tls,
  };
}

/** Null without `--kafka_brokers`. */
export function kafkaConnection(
  values: FlagValues,
  files: NamedFiles,
  findings: Findings,
): KafkaConnection | null {
  const { kafka_brokers: brokers, kafka_username: username, kafka_password: password } = values;
  if (brokers === undefined) return null;
  const isSecure = values.kafka_tls ?? false;
  for (const name of ["kafka_ca", "kafka_client_cert", "kafka_client_key"] as const) {
    if (!isSecure && values[name] !== undefined) {
      findings.problems.push(`--${name}: needs TLS; give --kafka_tls too`);
    }
  }
  if (username !== undefined && password === undefined) {
    findings.problems.push(
      "--kafka_username: needs a password too; set ILAGENT_KAFKA_PASSWORD or --kafka_password",
    );
  }
  if (username === undefined && (password !== undefined || values.kafka_sasl_mechanism !== undefined)) {
    const name = password === undefined ? "kafka_sasl_mechanism" : "kafka_password";
    findings.problems.push(`--${name}: needs a user name too; give --kafka_username`);
  }
  const mechanism = values.kafka_sasl_mechanism ?? "plain";
  if (username !== undefined && mechanism === "plain" && !isSecure) {
    findings.warnings.push(
      "the Kafka password crosses the network in the clear; use --kafka_tls or scram-sha-512",
    );
  }
  return {
    brokers,
    tls: isSecure ? tlsFiles("kafka", values, files, findings) : null,
    sasl: username === undefined ? null : { mechanism, username, password: password ?? "" },
  };
}

function schemeOf({ scheme }: BrokerAddress, wantsTls: boolean) {
  if (!wantsTls) return scheme ?? "mqtt";
  return scheme === "ws" || scheme === "wss" ? "wss" : "mqtts";
}

/** As the Rust agent: without a URL the default is 1883, with TLS too. */
function portOf({ scheme, port }: BrokerAddress, values: FlagValues, findings: Findings): number {
  const { mqtt_port: given } = values;
  if (port !== null && given !== undefined && port !== given) {
    findings.problems.push(`--mqtt_port: is ${given}, but --mqtt_host names port ${port}; give one of them`);
  }
  return port ?? given ?? DEFAULT_PORTS[scheme ?? "mqtt"];
}

function tlsFiles(
  broker: "mqtt" | "kafka",
  values: FlagValues,
  files: NamedFiles,
  findings: Findings,
): TlsFiles {
  const path = (name: FlagName & `${"mqtt" | "kafka"}_${string}`) => {
    const given = values[name];
    return typeof given === "string" ? pemPath(name, given, files, findings) : null;
  };
  const certPath = path(`${broker}_client_cert`);
  const keyPath = path(`${broker}_client_key`);
  if (certPath === null && keyPath !== null) {
    findings.problems.push(`--${broker}_client_key: needs the certificate too; give --${broker}_client_cert`);
  }
  if (certPath !== null && keyPath === null) {
    findings.problems.push(`--${broker}_client_cert: needs its private key too; give --${broker}_client_key`);
  }
  return { caPath: path(`${broker}_ca`), certPath, keyPath };
}

function pemPath(name: FlagName, given: string, files: NamedFiles, findings: Findings): string {
  const path = resolve(given);
  try {
    if (!files.readFile(path).includes("-----BEGIN ")) {
      findings.problems.push(`--${name}: ${given} holds no PEM; name a file with '-----BEGIN …' blocks`);
    }
  } catch (error) {
    findings.problems.push(`--${name}: cannot read ${given}: ${failureOf(error)}; name a readable PEM file`);
  }
  return path;
}
