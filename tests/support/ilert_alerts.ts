/**
 *   ALERT ──▶ PENDING ──ACCEPT──▶ ACCEPTED ──RESOLVE──▶ RESOLVED
 *               └───────────────RESOLVE────────────────────▲
 *
 * One open alert per (integration key, alert key): a further ALERT is appended to it, one after RESOLVED opens
 * a new alert. Without an alert key every ALERT opens one. What refers to no open alert changes nothing.
 */

import type { EventType, IlertEvent } from "./ilert_event_validation.ts";

export interface Alert {
  readonly id: number;
  readonly integrationKey: string;
  readonly alertKey: string | null;
  readonly summary: string;
  status: "PENDING" | "ACCEPTED" | "RESOLVED";
  /** The events that made it what it is, the latest 100. */
  readonly entries: { readonly eventType: EventType; readonly summary: string | null }[];
}

const ALERTS_MAX = 200_000;
const ENTRIES_PER_ALERT_MAX = 100;

export class AlertBook {
  #alerts: Alert[] = [];
  #openByLane = new Map<string, Alert>();
  #id = 0;

  get alerts(): readonly Alert[] {
    return this.#alerts;
  }

  apply(event: IlertEvent): void {
    const lane = laneOf(event);
    let alert = lane === null ? undefined : this.#openByLane.get(lane);
    if (alert === undefined) {
      if (event.eventType !== "ALERT") return;
      alert = this.#open(event, lane);
    }
    alert.entries.push({ eventType: event.eventType, summary: event.summary ?? null });
    if (alert.entries.length > ENTRIES_PER_ALERT_MAX) alert.entries.shift();

    if (event.eventType === "ACCEPT") alert.status = "ACCEPTED";
    if (event.eventType === "RESOLVE") {
      alert.status = "RESOLVED";
      if (lane !== null) this.#openByLane.delete(lane);
    }
  }

  reset(): void {
    this.#alerts = [];
    this.#openByLane = new Map();
  }

  #open(event: IlertEvent, lane: string | null): Alert {
    const alert: Alert = {
      id: ++this.#id,
      integrationKey: event.integrationKey,
      alertKey: event.alertKey ?? null,
      summary: event.summary ?? "",
      status: "PENDING",
      entries: [],
    };
    this.#alerts.push(alert);
    if (lane !== null) this.#openByLane.set(lane, alert);
    if (this.#alerts.length > ALERTS_MAX) this.#forgetOldest();
    return alert;
  }

  #forgetOldest(): void {
    for (const alert of this.#alerts.splice(0, ALERTS_MAX / 10)) {
      const lane = laneOf(alert);
      if (lane !== null && this.#openByLane.get(lane) === alert) this.#openByLane.delete(lane);
    }
  }
}

/** ilert trims alert keys and compares them without regard to case (its event schema). */
function laneOf(of: { integrationKey: string; alertKey?: string | null }): string | null {
  return typeof of.alertKey === "string" ? `${of.integrationKey}\n${of.alertKey.trim().toLowerCase()}` : null;
}
