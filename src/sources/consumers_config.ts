/** What the consumers of messages are told: plain data, because it crosses into the worker. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { MqttConnection } from "../clients/mqtt_connection.ts";
import type { MappingConfig, PolicyMapping } from "../domain/mapping_config.ts";

export interface ConsumersConfig {
  mqtt: MqttConsumerConfig | null;
  kafka: KafkaConsumerConfig | null;
  mapping: MappingConfig;
  /** Null without a policy topic. */
  policy: { mapping: PolicyMapping; apiKey: string } | null;
}

export interface MqttConsumerConfig {
  connection: MqttConnection;
  qos: 0 | 1 | 2;
  /** Acknowledge what is durable, rather than what ilert has accepted. */
  isBuffered: boolean;
  sharedGroup: string | null;
}

export interface KafkaConsumerConfig {
  connection: KafkaConnection;
  groupId: string;
  /** Where a new group starts. */
  from: "latest" | "beginning";
}
