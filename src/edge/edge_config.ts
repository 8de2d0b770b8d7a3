/** What the edge connector is told: plain data, because it crosses into the worker. */

import type { KafkaConnection } from "../clients/kafka_connection.ts";
import type { MqttConnection } from "../clients/mqtt_connection.ts";
import type { ServerConfig } from "../server/http_server.ts";

export interface EdgeConfig {
  /** Absolute path of the SQLite file. */
  file: string;
  server: ServerConfig | null;
  heartbeatKey: string | null;
  heartbeatRequiresReady: boolean;
  alarmKey: string | null;
  apiHost: string;
  heartbeatHost: string;
  /** Of the edge connection; sent raw in `Authorization`. */
  connectorKey: string;
  sink: SinkConfig;
  /** Null without high availability. */
  cluster: { clusterId: string; instanceId: string } | null;
  pollIntervalMs: number;
  standbyIntervalMs: number;
  /** Age of an item at which ilert's retention comes near. */
  lagMaxMs: number;
  deadLettersMax: number;
  shutdownTimeoutMs: number;
}

export type SinkConfig =
  | {
    kind: "http";
    url: string;
    method: "POST" | "PUT" | "PATCH";
    auth: { header: string; value: string } | null;
  }
  | { kind: "kafka"; connection: KafkaConnection; topic: string }
  | { kind: "mqtt"; connection: MqttConnection; topic: string; qos: 0 | 1 | 2 }
  | {
    kind: "script";
    /** Absolute. */
    path: string;
    /** Beside the four variables of the event and a minimal PATH. */
    env: Record<string, string>;
    /** The program that ends a script with all its processes, absolute. */
    killPath: string;
  }
  | { kind: "stdout" };
