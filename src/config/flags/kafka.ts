/** The Kafka cluster, as a source of events and as a target of the edge connector. */

import * as values from "../values.ts";
import { DAEMON, flag } from "./flag.ts";

export const kafkaFlags = {
  kafka_brokers: flag({
    group: "Kafka",
    value: "HOST:PORT,…",
    help: "Kafka brokers to begin with",
    commands: DAEMON,
    parse: values.brokers,
  }),
  kafka_group_id: flag({
    group: "Kafka",
    value: "GROUP",
    help: "Consumer group; agents of one group share the partitions",
    commands: DAEMON,
    parse: values.text,
    default: "ilagent",
  }),
  kafka_from: flag({
    group: "Kafka",
    value: "latest|beginning",
    help: "Where a new consumer group starts",
    commands: DAEMON,
    parse: values.oneOf("latest", "beginning"),
    default: "latest",
  }),
  kafka_tls: flag({
    group: "Kafka",
    help: "Connect to Kafka over TLS",
    commands: DAEMON,
    parse: values.switched,
  }),
  kafka_ca: flag({
    group: "Kafka",
    value: "FILE",
    help: "CA certificates (PEM) that the brokers' certificates are checked against",
    commands: DAEMON,
    parse: values.text,
  }),
  kafka_client_cert: flag({
    group: "Kafka",
    value: "FILE",
    help: "Client certificate (PEM) for mutual TLS with Kafka",
    commands: DAEMON,
    parse: values.text,
  }),
  kafka_client_key: flag({
    group: "Kafka",
    value: "FILE",
    help: "Private key (PEM) of the client certificate",
    commands: DAEMON,
    parse: values.text,
  }),
  kafka_sasl_mechanism: flag({
    group: "Kafka",
    value: "MECHANISM",
    help: "plain, scram-sha-256 or scram-sha-512",
    commands: DAEMON,
    parse: values.saslMechanism,
    defaultNote: "plain where a user name is given",
  }),
  kafka_username: flag({
    group: "Kafka",
    value: "NAME",
    help: "SASL user name at Kafka",
    commands: DAEMON,
    parse: values.text,
  }),
  kafka_password: flag({
    group: "Kafka",
    value: "PASSWORD",
    help: "SASL password at Kafka",
    commands: DAEMON,
    parse: values.text,
    secret: true,
  }),
} as const;
