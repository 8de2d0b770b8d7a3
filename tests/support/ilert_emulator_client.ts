/** Calls to an emulated ilert, as its own tests make them. */

import type { IlertEmulator } from "./ilert_emulator.ts";

export const KEY = "il1api123";
export const ALERT = { integrationKey: KEY, eventType: "ALERT", summary: "Disk full", alertKey: "db-1" };

/** An event the emulator can tell from others. */
export function numbered(n: number) {
  return { ...ALERT, customDetails: { n } };
}

export function post(emulator: IlertEmulator, body: unknown): Promise<Response> {
  return send(emulator, "POST", "/api/events", JSON.stringify(body), { "content-type": "application/json" });
}

export async function send(
  emulator: IlertEmulator,
  method: string,
  path: string,
  body: string | null = null,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await fetch(emulator.url + path, { method, body, headers, redirect: "manual" });
}

/** Also lets go of the body, so that no test leaves one open. */
export async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}
