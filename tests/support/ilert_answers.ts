/** The shapes of ilert's answers. */

import type { Answer } from "./ilert_listener.ts";

export type IlertAnswer = Answer & { kind: "respond" };

export const JSON_HEADERS: Readonly<Record<string, string>> = { "content-type": "application/json" };

export function taken(correlationId: string, body: unknown): IlertAnswer {
  const headers = { "content-type": "application/json", "correlation-id": correlationId };
  return { kind: "respond", status: 202, headers, body: JSON.stringify(body) };
}

export function respond(status: number, body: unknown): IlertAnswer {
  return { kind: "respond", status, headers: JSON_HEADERS, body: JSON.stringify(body) };
}

export function failure(status: number, code: string, message: string): IlertAnswer {
  return respond(status, { status, code, message });
}
