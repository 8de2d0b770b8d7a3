/** What ilert itself would answer, without any fault. */

import type { AlertBook } from "./ilert_alerts.ts";
import { failure, respond, taken } from "./ilert_answers.ts";
import { checkEvent } from "./ilert_event_validation.ts";
import type { EdgeDesk } from "./ilert_edge.ts";
import type { Answer, Exchange } from "./ilert_listener.ts";
import type { PolicyAnswer, PolicyDirectory } from "./ilert_policies.ts";
import type { RecordedRequest, RequestLog } from "./ilert_request_log.ts";
import type { IlertRoute } from "./ilert_routes.ts";

export interface IlertApiOptions {
  /** Answers 404 to the events of other keys. Default: every key is known. */
  integrationKeys?: Iterable<string>;
  /** Answers 404 to the heartbeats of other keys. Default: every key is known. */
  heartbeatKeys?: Iterable<string>;
  /** What the policy endpoints ask for, raw or as a bearer token. Default: any Authorization. */
  apiKey?: string;
}

export class EmulatedIlertApi {
  readonly #log: RequestLog;
  readonly #book: AlertBook;
  readonly #directory: PolicyDirectory;
  readonly #edge: EdgeDesk;
  readonly #integrationKeys: ReadonlySet<string> | null;
  readonly #heartbeatKeys: ReadonlySet<string> | null;
  readonly #apiKey: string | null;

  constructor(
    options: IlertApiOptions,
    log: RequestLog,
    book: AlertBook,
    directory: PolicyDirectory,
    edge: EdgeDesk,
  ) {
    this.#log = log;
    this.#book = book;
    this.#directory = directory;
    this.#edge = edge;
    this.#integrationKeys = options.integrationKeys ? new Set(options.integrationKeys) : null;
    this.#heartbeatKeys = options.heartbeatKeys ? new Set(options.heartbeatKeys) : null;
    this.#apiKey = options.apiKey ?? null;
  }

  answer(route: IlertRoute, request: RecordedRequest, exchange: Exchange): Answer {
    switch (route.kind) {
      case "event":
        return this.#takeEvent(route.pathKey, request);
      case "heartbeat":
        if (this.#heartbeatKeys?.has(route.key) === false) {
          return failure(404, "NOT_FOUND", "No such heartbeat");
        }
        return respond(202, {});
      case "findUser":
        return this.#ifAuthorized(exchange, () => this.#directory.findUser(request.body));
      case "resolvePolicy":
        return this.#ifAuthorized(exchange, () => this.#directory.resolve(route.routingKey));
      case "setLevel": {
        const { policyId, shift } = route;
        return this.#ifAuthorized(exchange, () => this.#directory.setLevel(policyId, shift, request.body));
      }
      case "edgePoll":
        return this.#edge.poll(route.query, exchange.header("authorization"));
      case "unknown":
        return failure(404, "NOT_FOUND", `ilert has no ${request.method} ${request.path}`);
    }
  }

  #takeEvent(pathKey: string | undefined, request: RecordedRequest): Answer {
    const check = checkEvent(request.body, pathKey);
    if (check.kind === "invalid") return failure(400, "BAD_REQUEST", check.message);
    const { event } = check;
    if (this.#integrationKeys?.has(event.integrationKey) === false) {
      return failure(404, "NOT_FOUND", "No alert source with this integration key");
    }
    request.correlationId = crypto.randomUUID();
    this.#log.took(request, event);
    if (this.#log.keepsAll) this.#book.apply(event);
    return taken(request.correlationId, { alertKey: event.alertKey ?? null });
  }

  #ifAuthorized(exchange: Exchange, answer: () => PolicyAnswer): Answer {
    const token = exchange.header("authorization")?.replace(/^Bearer /, "") ?? "";
    if (token === "" || (this.#apiKey !== null && token !== this.#apiKey)) {
      return failure(401, "UNAUTHORIZED", "Missing or wrong API key");
    }
    const { status, body } = answer();
    return respond(status, body);
  }
}
