/** The MQTT broker, as a source of events and as a target of the edge connector. */

import * as values from "../values.ts";
import { DAEMON, flag } from "./flag.ts";

export const mqttFlags = {
  mqtt_host: flag({
    group: "MQTT",
    short: "m",
    value: "HOST",
    help: "MQTT broker: a host, host:port, or an mqtt://, mqtts://, ws:// or wss:// URL",
    commands: DAEMON,
    parse: values.mqttHost,
  }),
  mqtt_port: flag({
    group: "MQTT",
    short: "q",
    value: "PORT",
    help: "Port of the MQTT broker, where --mqtt_host names none",
    commands: DAEMON,
    parse: values.port,
    defaultNote: "1883, for mqtts:// 8883",
  }),
  mqtt_name: flag({
    group: "MQTT",
    short: "n",
    value: "NAME",
    help: "MQTT client id; two agents with one id evict each other",
    commands: DAEMON,
    parse: values.text,
    defaultNote: "ilagent-<id kept in the database>",
  }),
  mqtt_username: flag({
    group: "MQTT",
    value: "NAME",
    help: "User name at the MQTT broker",
    commands: DAEMON,
    parse: values.text,
  }),
  mqtt_password: flag({
    group: "MQTT",
    value: "PASSWORD",
    help: "Password at the MQTT broker",
    commands: DAEMON,
    parse: values.text,
    secret: true,
  }),
  mqtt_tls: flag({
    group: "MQTT",
    help: "Connect to the MQTT broker over TLS",
    commands: DAEMON,
    parse: values.switched,
  }),
  mqtt_ca: flag({
    group: "MQTT",
    value: "FILE",
    help: "CA certificates (PEM) that the MQTT broker's certificate is checked against",
    commands: DAEMON,
    parse: values.text,
  }),
  mqtt_client_cert: flag({
    group: "MQTT",
    value: "FILE",
    help: "Client certificate (PEM) for mutual TLS with the MQTT broker",
    commands: DAEMON,
    parse: values.text,
  }),
  mqtt_client_key: flag({
    group: "MQTT",
    value: "FILE",
    help: "Private key (PEM) of the client certificate",
    commands: DAEMON,
    parse: values.text,
  }),
  mqtt_qos: flag({
    group: "MQTT",
    value: "0|1|2",
    help: "Quality of service of subscriptions and of edge deliveries",
    commands: DAEMON,
    parse: values.qos,
    defaultNote: "1 for consumers, 0 for edge deliveries",
  }),
  mqtt_buffer: flag({
    group: "MQTT",
    help: "Acknowledge an MQTT message once it is stored, not only once ilert has accepted it",
    commands: DAEMON,
    parse: values.switched,
  }),
  mqtt_shared_group: flag({
    group: "MQTT",
    value: "GROUP",
    help: "Share the subscription with all agents of this group ($share/GROUP/topic)",
    commands: DAEMON,
    parse: values.sharedGroup,
  }),
} as const;
