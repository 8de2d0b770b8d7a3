/** How to reach an MQTT broker: plain data, because it crosses into the worker. */

import type { TlsFiles } from "../runtime/tls_files.ts";

export interface MqttConnection {
  /** `mqtt`, `mqtts`, `ws` or `wss`, host, port, and for websockets a path. */
  url: string;
  /** Null for `ilagent-<id kept in the database>`. */
  clientId: string | null;
  username: string | null;
  password: string | null;
  /** Null without TLS. */
  tls: TlsFiles | null;
}
