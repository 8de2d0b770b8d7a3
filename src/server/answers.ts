/** The shapes of answer the server gives. */

const NO_STORE = { "cache-control": "no-store" };
/** Of answers with nothing else in their head, which Deno sends the quickest. */
const JSON_ONLY = { headers: { "content-type": "application/json" } };

/** 200. */
export function ok(body: unknown): Response {
  return new Response(JSON.stringify(body), JSON_ONLY);
}

export function json(status: number, body: unknown, headers: HeadersInit = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

export function error(status: number, text: string, headers: HeadersInit = {}): Response {
  return json(status, { error: text }, headers);
}

export function noContent(): Response {
  return new Response(null, { status: 204, headers: NO_STORE });
}

/** 503 with the time after which to try again; the connection is closed so that a balancer picks another agent. */
export function unavailable(body: unknown, retryAfterSeconds: number): Response {
  return json(503, body, { "retry-after": String(retryAfterSeconds), "connection": "close", ...NO_STORE });
}

export function methodNotAllowed(allowed: string): Response {
  return error(405, `Use ${allowed}.`, { allow: allowed });
}
