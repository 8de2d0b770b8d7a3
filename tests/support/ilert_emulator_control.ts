/**
 * The control API, for a test or a person in another process. Faults never touch it.
 *
 *   GET    /_emulator/state               counters, faults
 *   GET    /_emulator/requests?since=SEQ  recorded requests after SEQ, at most 1000 per answer
 *   GET    /_emulator/alerts
 *   POST   /_emulator/faults              one fault or a list of them, added to those in force
 *   DELETE /_emulator/faults              all faults gone, hanging requests answered
 *   POST   /_emulator/down?ms=N           connections refused for N ms
 *   GET    /_emulator/edge                items of edge connections, clusters and their leaders
 *   POST   /_emulator/edge                {count} made-up items, or {payloads: […]}, or {items: […]} as they are
 *   POST   /_emulator/edge/leader?cluster=ID&instance=ID   makes this instance the leader
 *   POST   /_emulator/reset               nothing recorded, no faults
 */

import { isObject } from "./ilert_event_validation.ts";
import { type Fault, parseFault } from "./ilert_faults.ts";
import type { IlertEmulator } from "./ilert_emulator.ts";
import type { Answer, Exchange } from "./ilert_listener.ts";

export const CONTROL_PREFIX = "/_emulator/";

const REQUESTS_PER_ANSWER_MAX = 1_000;
const EDGE_ITEMS_PER_CALL_MAX = 1_000_000;
const DOWN_MS_MAX = 3_600_000;

export async function answerControl(emulator: IlertEmulator, exchange: Exchange): Promise<Answer> {
  const url = new URL(exchange.target, emulator.url);
  switch (`${exchange.method} ${url.pathname.slice(CONTROL_PREFIX.length)}`) {
    case "GET state":
      return json(200, emulator.state());
    case "GET requests": {
      const since = Number(url.searchParams.get("since") ?? 0);
      if (!Number.isInteger(since)) return problem("since must be an integer");
      return json(200, emulator.requestsSince(since, REQUESTS_PER_ANSWER_MAX));
    }
    case "GET alerts":
      return json(200, emulator.alerts);
    case "POST faults":
      return await addFaults(emulator, exchange);
    case "DELETE faults":
      emulator.clearFaults();
      return json(200, emulator.state());
    case "POST down": {
      const ms = Number(url.searchParams.get("ms") ?? Number.NaN);
      if (!(ms > 0 && ms <= DOWN_MS_MAX)) return problem(`ms must be a number up to ${DOWN_MS_MAX}`);
      emulator.goDownFor(ms);
      return json(202, { downForMs: ms });
    }
    case "GET edge":
      return json(200, emulator.edge.state());
    case "POST edge":
      return await addEdgeItems(emulator, exchange);
    case "POST edge/leader": {
      const { cluster, instance } = Object.fromEntries(url.searchParams);
      if (cluster === undefined || instance === undefined) {
        return problem("cluster and instance are required");
      }
      emulator.edge.appoint(cluster, instance);
      return json(200, emulator.edge.state());
    }
    case "POST reset":
      emulator.reset();
      return json(200, emulator.state());
    default:
      return json(404, { code: "NOT_FOUND", message: "No such control call" });
  }
}

/** All or none: a list with a mistake in it adds nothing. */
async function addFaults(emulator: IlertEmulator, exchange: Exchange): Promise<Answer> {
  let faults: Fault[];
  try {
    const body: unknown = JSON.parse(await exchange.text());
    faults = (Array.isArray(body) ? body : [body]).map(parseFault);
    for (const fault of faults) emulator.assertPossible(fault);
  } catch (error) {
    return problem(error instanceof Error ? error.message : String(error));
  }
  for (const fault of faults) emulator.inject(fault);
  return json(201, emulator.state());
}

async function addEdgeItems(emulator: IlertEmulator, exchange: Exchange): Promise<Answer> {
  let body: unknown;
  try {
    body = JSON.parse(await exchange.text());
  } catch {
    return problem("the body must be JSON");
  }
  const { count, payloads, items } = isObject(body) ? body : {};
  const isCount = typeof count === "number" && Number.isInteger(count) && count >= 0;
  if (isCount && count <= EDGE_ITEMS_PER_CALL_MAX) emulator.edge.fill(count);
  else if (Array.isArray(payloads)) emulator.edge.add(...payloads);
  else if (Array.isArray(items)) items.forEach((item) => emulator.edge.addItem(item));
  else return problem("the body must be {count}, {payloads: […]} or {items: […]}");
  return json(201, emulator.edge.state());
}

function problem(message: string): Answer {
  return json(400, { code: "BAD_REQUEST", message });
}

function json(status: number, body: unknown): Answer {
  const headers = { "content-type": "application/json" };
  return { kind: "respond", status, headers, body: JSON.stringify(body) + "\n" };
}
