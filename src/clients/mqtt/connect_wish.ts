/** What a connection begins with: our wish, and what it means to mqtt.js. */

import type { TlsMaterial } from "../tls_material.ts";

export type ProtocolVersion = 4 | 5;
export type Qos = 0 | 1 | 2;

export interface ConnectWish {
  url: string;
  clientId: string;
  username: string | null;
  password: string | null;
  tls: TlsMaterial | null;
  /** 4 is MQTT 3.1.1. */
  version: ProtocolVersion;
  /** "persistent": the broker keeps subscriptions and messages while we are away. */
  session: "persistent" | "clean";
}

/** Dead brokers are found after one and a half times as much. */
export const KEEP_ALIVE_SECONDS = 5;

/**
 * Unacknowledged messages of QoS 1 and 2 that the broker may have under way to us (MQTT 5; brokers of 3.1.1 have a
 * setting for it).
 */
export const RECEIVE_MAX = 250;

/** The longest that MQTT 5 knows: never. As with MQTT 3.1.1, whose sessions have no end. */
const SESSION_EXPIRY_SECONDS = 0xffff_ffff;
const CONNECT_TIMEOUT_MS = 10_000;

/** In the terms of mqtt.js. */
export function optionsOf({ url, clientId, username, password, tls, version, session }: ConnectWish) {
  const { protocol, hostname, port, pathname } = new URL(url);
  return {
    protocol: protocol.slice(0, -1) as "mqtt" | "mqtts" | "ws" | "wss",
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    // 0 stands for the scheme's own, which `URL` leaves out.
    port: Number(port),
    clientId,
    ...given({ username, password, path: protocol.startsWith("ws") ? pathname : null }),
    ...given({ ...tls }),
    protocolVersion: version,
    clean: session === "clean",
    ...(version === 5 ? { properties: propertiesOf(session) } : {}),
    keepalive: KEEP_ALIVE_SECONDS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    manualConnect: true,
    // When to connect again, and with what, is decided above.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    // A buffer for each of the 65,536 numbers that a packet may hold, made for the first packet: 8 MB.
    writeCache: false,
    // Its debug lines cost time for each packet.
    log: () => {},
  };
}

/** Without what is null: mqtt.js looks at which names are there. */
function given(options: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

function propertiesOf(session: ConnectWish["session"]) {
  return session === "clean"
    ? {}
    : { sessionExpiryInterval: SESSION_EXPIRY_SECONDS, receiveMaximum: RECEIVE_MAX };
}
