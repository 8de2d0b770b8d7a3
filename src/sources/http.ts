/** Turns a request into an event in the queue: durable first, acknowledged second. */

import { type AlertEvent, parseEvent } from "../domain/event.ts";
import { enrich, type Enrichment } from "../domain/enrichment.ts";
import { isNestedTooDeeply, NESTING_MAX, parseJson } from "../domain/json.ts";
import { type EventQueue, QueueUnavailable } from "../queue/queue.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import type { Log } from "../runtime/log.ts";
import { redactKey } from "../runtime/redact.ts";
import { error, ok, unavailable } from "../server/answers.ts";
import { BODY_BYTES_MAX, BODY_DEADLINE_MS, readBody } from "../server/body.ts";

/** Never aborted: a body has its deadline and no other end. */
const NO_SIGNAL = new AbortController().signal;

export class HttpSource implements Disposable {
  readonly #queue: Pick<EventQueue, "enqueue">;
  readonly #enrichment: Enrichment;
  readonly #log: Log;
  readonly #deadlines = new Deadlines(BODY_DEADLINE_MS);

  constructor(queue: Pick<EventQueue, "enqueue">, enrichment: Enrichment, log: Log) {
    this.#queue = queue;
    this.#enrichment = enrichment;
    this.#log = log;
  }

  /** `POST /api/events`. */
  async accept(request: Request): Promise<Response> {
    if (!isJsonOrUnnamed(request.headers.get("content-type"))) {
      return error(415, "Content-Type must be application/json.");
    }
    const body = await readBody(request, this.#deadlines.signal(NO_SIGNAL));
    switch (body.kind) {
      case "too_large":
        return error(413, `The body must not be larger than ${BODY_BYTES_MAX} bytes.`, {
          connection: "close",
        });
      case "too_slow":
        return error(408, `The body must arrive within ${BODY_DEADLINE_MS / 1000} s.`, {
          connection: "close",
        });
      case "broken":
        return error(400, "The body must be JSON in UTF-8.");
      case "text":
        return await this.#accept(body.text);
    }
  }

  #logAccepted(id: string, { integrationKey, alertKey }: AlertEvent): void {
    this.#log.debug("Event {id} of {key}, alert key {alertKey}, accepted over HTTP", {
      id,
      key: redactKey(integrationKey),
      alertKey: alertKey ?? "none",
    });
  }

  [Symbol.dispose](): void {
    this.#deadlines[Symbol.dispose]();
  }

  async #accept(text: string): Promise<Response> {
    let message: unknown;
    try {
      message = parseJson(text);
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) return error(400, "The body is nested too deeply.");
      return error(400, `The body is not valid JSON: ${cause.message}`);
    }
    if (isNestedTooDeeply(text, message)) {
      return error(400, `The body is nested more than ${NESTING_MAX} levels deep.`);
    }
    const parsed = parseEvent(message);
    if (!parsed.ok) return error(400, parsed.problem);
    const { event, warnings } = enrich(parsed.event, message, this.#enrichment);
    try {
      const stored = await this.#queue.enqueue(event, null);
      for (const warning of warnings) this.#log.warn("Event {id}: {warning}", { id: stored.id, warning });
      if (this.#log.isEnabledFor("debug")) {
        this.#logAccepted(stored.id, event);
      }
      return ok({ id: stored.id, ...event, customDetails: event.customDetails ?? null });
    } catch (cause) {
      if (!(cause instanceof QueueUnavailable)) throw cause;
      return unavailable({ error: `The event was not stored: ${cause.message}.` }, cause.retryAfterSeconds);
    }
  }
}

function isJsonOrUnnamed(contentType: string | null): boolean {
  if (contentType === null || contentType.trim() === "") return true;
  const mediaType = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return mediaType === "application/json" || /^[\w.+-]+\/[\w.+-]+\+json$/.test(mediaType);
}
