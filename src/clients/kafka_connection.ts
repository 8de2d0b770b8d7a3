/** How to reach a Kafka cluster: plain data, because it crosses into the worker. */

import type { TlsFiles } from "../runtime/tls_files.ts";

export type SaslMechanism = "plain" | "scram-sha-256" | "scram-sha-512";

export interface KafkaConnection {
  /** `host:port`, the ones to begin with. */
  brokers: string[];
  /** Null without TLS. */
  tls: TlsFiles | null;
  /** Null without authentication. */
  sasl: { mechanism: SaslMechanism; username: string; password: string } | null;
}
