/** Listens and routes; what an event or a heartbeat is, others know. */

import { keyProblem } from "../domain/usable_key.ts";
import { failureOf } from "../runtime/failure.ts";
import type { Log } from "../runtime/log.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { VERSION } from "../runtime/version.ts";
import { error, methodNotAllowed, noContent, unavailable } from "./answers.ts";

export interface ServerConfig {
  hostname: string;
  port: number;
  /** Required as a bearer token on the `/api` paths; null lets everyone in. */
  intakeToken: string | null;
}

/** Why the agent is not ready, in the form of contract §2; null when it is. */
export type Readiness = { component: string; error: string; [detail: string]: unknown } | null;

export interface Routes {
  event(request: Request): Promise<Response>;
  heartbeat(key: string): Promise<Response>;
  readiness(): Readiness;
  metrics(): Promise<{ contentType: string; text: string }>;
}

const SHUTTING_DOWN = { component: "daemon", error: "shutting down" };
const RETRY_AFTER_SECONDS = 5;
const RELISTEN_MS = 1_000;
/** For connections that do not take the answer they asked for. */
const CLOSE_TIMEOUT_MS = 1_000;
const HEARTBEAT_PATH = "/api/heartbeats/";

export class HttpServer {
  readonly #config: ServerConfig;
  readonly #routes: Routes;
  readonly #log: Log;
  readonly #abort = new AbortController();
  #tokenDigest: Promise<Uint8Array> | null = null;
  #server: Deno.HttpServer | null = null;
  #relisten: ReturnType<typeof setTimeout> | undefined;
  #stopping = false;
  #inHand = 0;
  #idle: (() => void) | null = null;

  constructor(config: ServerConfig, routes: Routes, log: Log) {
    this.#config = config;
    this.#routes = routes;
    this.#log = log;
  }

  /** Throws `StartupFailure` where the address cannot be had. */
  start(): void {
    const { hostname, port } = this.#config;
    try {
      this.#listen();
    } catch (cause) {
      throw new StartupFailure(
        `cannot listen on ${hostname}:${port}: ${failureOf(cause)}; choose another with --port or --host`,
        1,
        { cause },
      );
    }
  }

  /** From now on `/health` and `/ready` answer 503 and the intake is closed; requests in hand go on. */
  refuse(): void {
    this.#stopping = true;
  }

  /** Resolves when no request is in hand. */
  async drained(): Promise<void> {
    if (this.#inHand > 0) await new Promise<void>((resolve) => this.#idle = resolve);
  }

  /** Lets the last answers out and closes the listener and all connections. */
  async close(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#relisten);
    const server = this.#server;
    if (server === null) return;
    const timer = setTimeout(() => this.#abort.abort(), CLOSE_TIMEOUT_MS);
    await Promise.race([server.shutdown(), server.finished]).catch(() => {});
    clearTimeout(timer);
  }

  #listen(): void {
    const { hostname, port } = this.#config;
    const server = Deno.serve({
      hostname,
      port,
      signal: this.#abort.signal,
      onListen: ({ port }) => this.#log.info("Listening on {hostname}:{port}", { hostname, port }),
      onError: (cause) => {
        this.#log.error("A request failed: {reason}", { reason: failureOf(cause) });
        return error(500, "Internal error.");
      },
    }, (request) => this.#counted(request));
    this.#server = server;
    server.finished.catch((cause) => this.#recover(failureOf(cause)));
  }

  /** Accepting failed for good, as it does when the process runs out of file descriptors. */
  #recover(reason: string): void {
    this.#server = null;
    if (this.#stopping) return;
    this.#log.error("The HTTP server stopped: {reason}; trying again in {seconds} s", {
      reason,
      seconds: RELISTEN_MS / 1000,
    });
    this.#relisten = setTimeout(() => {
      try {
        this.#listen();
      } catch (cause) {
        this.#recover(failureOf(cause));
      }
    }, RELISTEN_MS);
  }

  async #counted(request: Request): Promise<Response> {
    this.#inHand++;
    try {
      const response = await this.#answer(request);
      if (response.status >= 400 && this.#log.isEnabledFor("debug")) {
        const { method } = request;
        this.#log.debug("{method} {path} was answered {status}", {
          method,
          path: pathOf(request.url),
          status: response.status,
        });
      }
      return response;
    } finally {
      this.#inHand--;
      if (this.#inHand === 0) this.#idle?.();
    }
  }

  #answer(request: Request): Response | Promise<Response> {
    const pathname = pathOf(request.url);
    if (pathname.startsWith("/api/")) return this.#api(request, pathname);
    const isRead = request.method === "GET" || request.method === "HEAD";
    switch (pathname) {
      case "/":
        return isRead ? new Response(`ilagent/${VERSION}`) : methodNotAllowed("GET");
      case "/health":
      case "/healthz":
      case "/livez":
        if (!isRead) return methodNotAllowed("GET");
        return this.#stopping ? unavailable(SHUTTING_DOWN, RETRY_AFTER_SECONDS) : noContent();
      case "/ready":
      case "/readyz":
        return isRead ? this.#ready() : methodNotAllowed("GET");
      case "/metrics":
        return isRead ? this.#metrics() : methodNotAllowed("GET");
      default:
        return error(404, "No such path.");
    }
  }

  #api(request: Request, pathname: string): Response | Promise<Response> {
    if (this.#stopping) return unavailable({ error: "The agent is shutting down." }, RETRY_AFTER_SECONDS);
    const { intakeToken } = this.#config;
    return intakeToken === null
      ? this.#authorized(request, pathname)
      : this.#authorize(request, pathname, intakeToken);
  }

  async #authorize(request: Request, pathname: string, intakeToken: string): Promise<Response> {
    this.#tokenDigest ??= digest(intakeToken);
    if (await hasToken(request, this.#tokenDigest)) return await this.#authorized(request, pathname);
    return error(401, "Send the intake token as 'Authorization: Bearer …'.", {
      "www-authenticate": "Bearer",
    });
  }

  #authorized(request: Request, pathname: string): Response | Promise<Response> {
    if (pathname === "/api/events") {
      return request.method === "POST" ? this.#routes.event(request) : methodNotAllowed("POST");
    }
    const key = pathname.startsWith(HEARTBEAT_PATH) ? decoded(pathname.slice(HEARTBEAT_PATH.length)) : null;
    if (key === null || key === "" || key.includes("/")) return error(404, "No such path.");
    if (request.method !== "GET") return methodNotAllowed("GET");
    const problem = keyProblem(key);
    return problem === null ? this.#routes.heartbeat(key) : error(400, `No heartbeat: ${problem}.`);
  }

  async #metrics(): Promise<Response> {
    const { contentType, text } = await this.#routes.metrics();
    return new Response(text, { headers: { "content-type": contentType } });
  }

  #ready(): Response {
    const problem = this.#stopping ? SHUTTING_DOWN : this.#routes.readiness();
    return problem === null ? noContent() : unavailable(problem, RETRY_AFTER_SECONDS);
  }
}

async function hasToken(request: Request, wanted: Promise<Uint8Array>): Promise<boolean> {
  const given = request.headers.get("authorization")?.match(/^Bearer +(.+)$/i)?.[1];
  if (given === undefined) return false;
  // Digests have one length and tell nothing by the time their comparison takes.
  const [a, b] = await Promise.all([digest(given.trim()), wanted]);
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

/** What `new URL()` would say, for the absolute URLs the server gives, at a fraction of its cost. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const end = url.slice(start).search(/[?#]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}
