/** What the relay's HTTP server answers. */

import type { IlertApi } from "../ilert/api.ts";
import type { Log } from "../runtime/log.ts";
import { redactKey } from "../runtime/redact.ts";
import { error, json } from "../server/answers.ts";
import type { Readiness, Routes } from "../server/http_server.ts";
import type { HttpSource } from "../sources/http.ts";

/** A ping in hand at the shutdown gets its answer, as every request does. */
const NO_SIGNAL = new AbortController().signal;

/** Pings in flight on behalf of others; beyond it a sender is told to come back. */
const PROXIED_PINGS_MAX = 32;

export function routesOf(
  events: HttpSource,
  ilert: IlertApi,
  readiness: () => Readiness,
  metrics: Routes["metrics"],
  log: Log,
): Routes {
  let pings = 0;
  return {
    readiness,
    metrics,
    event: (request) => events.accept(request),
    async heartbeat(key) {
      if (pings >= PROXIED_PINGS_MAX) return error(500, "Too many heartbeats are under way.");
      pings++;
      const result = await ilert.ping(key, NO_SIGNAL).finally(() => pings--);
      if (result.ok) return json(202, {});
      log.warn("Heartbeat {key} could not be proxied: {reason}", {
        key: redactKey(key),
        reason: result.reason,
      });
      return error(500, `Failed to proxy heartbeat: ${result.reason}.`);
    },
  };
}
