/** Which of ilert's endpoints a request is for, and whose key it carries. */

import { isObject } from "./ilert_event_validation.ts";
import type { RouteGroup } from "./ilert_faults.ts";

export type IlertRoute =
  | { kind: "event"; group: RouteGroup; key: string | undefined; pathKey: string | undefined }
  | { kind: "heartbeat"; group: RouteGroup; key: string }
  | { kind: "findUser"; group: RouteGroup; key: undefined }
  | { kind: "resolvePolicy"; group: RouteGroup; key: undefined; routingKey: string | null }
  | { kind: "setLevel"; group: RouteGroup; key: undefined; policyId: string; shift: string }
  | { kind: "edgePoll"; group: RouteGroup; key: string | undefined; query: URLSearchParams }
  | { kind: "unknown"; group: RouteGroup; key: undefined };

const CONSUMER_EVENTS = /^POST \/api\/v1\/events\/(?:mqtt|kafka)\/([^/]+)$/;
const HEARTBEAT = /^(?:GET \/api\/heartbeats|HEAD \/api\/pings)\/([^/]+)$/;
const POLICY_LEVEL = /^PUT \/api\/escalation-policies\/(\d+)\/levels\/(\d+)$/;

/** `target` is path and query, `body` what the request carried. */
export function routeOf(method: string, target: string, body: unknown): IlertRoute {
  if (method === "POST" && target === "/api/events") return eventRoute(undefined, body);

  const [path = "", query = ""] = target.split("?", 2);
  const call = `${method} ${path}`;
  const consumer = CONSUMER_EVENTS.exec(call);
  if (consumer !== null) return eventRoute(decoded(consumer[1]), body);
  const heartbeat = HEARTBEAT.exec(call);
  if (heartbeat !== null) return { kind: "heartbeat", group: "heartbeat", key: decoded(heartbeat[1]) };
  if (call === "POST /api/events") return eventRoute(undefined, body);
  if (call === "POST /api/users/search-email") return { kind: "findUser", group: "policy", key: undefined };
  if (call === "GET /api/escalation-policies/resolve") {
    const routingKey = new URLSearchParams(query).get("routing-key");
    return { kind: "resolvePolicy", group: "policy", key: undefined, routingKey };
  }
  if (call === "GET /api/edge-connections/events") {
    const asked = new URLSearchParams(query);
    return { kind: "edgePoll", group: "edge", key: asked.get("instance-id") ?? undefined, query: asked };
  }
  const level = POLICY_LEVEL.exec(call);
  if (level !== null) {
    const [, policyId = "", shift = ""] = level;
    return { kind: "setLevel", group: "policy", key: undefined, policyId, shift };
  }
  return { kind: "unknown", group: "unknown", key: undefined };
}

function eventRoute(pathKey: string | undefined, body: unknown): IlertRoute {
  const own = isObject(body) ? body["integrationKey"] : undefined;
  return {
    kind: "event",
    group: "event",
    key: pathKey ?? (typeof own === "string" ? own : undefined),
    pathKey,
  };
}

/** A key that is not valid percent-encoding is taken as it stands. */
function decoded(segment = ""): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
