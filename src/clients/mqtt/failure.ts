/** Why there is no connection, in the words of who has to mend it. */

import { failureOf } from "../../runtime/failure.ts";

/** Return codes of 3.1.1 (section 3.2.2.3) and reason codes of 5 (section 3.2.2.2) that have one remedy. */
const REFUSALS: Readonly<Record<number, string>> = {
  2: "the broker refuses the client id",
  4: "the broker refuses the user name or password",
  5: "the broker refuses the user name or password, or the client may not connect",
  133: "the broker refuses the client id",
  134: "the broker refuses the user name or password",
  135: "the broker refuses the user name or password, or the client may not connect",
};

const NETWORK_FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there (connection refused)",
  ECONNRESET: "the connection was reset",
  ENOTFOUND: "the host name cannot be resolved",
  EAI_AGAIN: "the host name cannot be resolved at the moment",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "the network cannot be reached",
  ETIMEDOUT: "there was no answer in time",
  EPIPE: "the connection was closed by the broker",
};

const UNTRUSTED: readonly string[] = [
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
];

/** mqtt.js' own words for its two time-outs. */
const TIMEOUTS: Readonly<Record<string, string>> = {
  "connack timeout": "the broker did not answer in time",
  "Keepalive timeout": "the broker does not answer any more",
};

/** One clause without a full stop. */
export function causeOf(error: unknown): string {
  const { code, message } = error instanceof Error ? error as Error & { code?: unknown } : {
    code: null,
    message: String(error),
  };
  if (typeof code === "number") {
    return REFUSALS[code] ?? message.replace(/^Connection refused: /, "refused: ");
  }
  if (typeof code !== "string") return TIMEOUTS[message] ?? failureOf(error);
  if (UNTRUSTED.includes(code)) {
    return `TLS: the broker's certificate is not signed by a trusted authority (${message})`;
  }
  if (code === "CERT_HAS_EXPIRED") return "TLS: the broker's certificate has expired";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `TLS: the broker's certificate is for another host (${message})`;
  }
  if (code.startsWith("ERR_SSL_")) return `TLS: ${message}`;
  return NETWORK_FAILURES[code] ?? failureOf(error);
}
