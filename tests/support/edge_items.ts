import { type EdgeItem, edgeItem } from "../../src/domain/edge_item.ts";

/** A payload as ilert's webhooks have it. */
export function edgePayload(n: number, alert = n): Record<string, unknown> {
  return {
    eventType: "alert-created",
    id: String(alert),
    summary: `Alert ${n}`,
    status: "PENDING",
    timestamp: "2026-05-04T10:00:00.000Z",
    n,
  };
}

export function numberedItem(n: number, more: Record<string, unknown> = {}): EdgeItem {
  return edgeItem(String(n), { ...edgePayload(n), ...more });
}

export function numberedItems(first: number, count: number): EdgeItem[] {
  return Array.from({ length: count }, (_, at) => numberedItem(first + at));
}
