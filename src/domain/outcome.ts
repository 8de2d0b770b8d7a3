/** What came of one attempt to deliver: the adapter classifies, the delivery loop decides. */
export type Outcome =
  | { kind: "delivered"; correlationId: string | null }
  | Retry
  | { kind: "rejected"; status: number; reason: string; responseBody: string };

export interface Retry {
  kind: "retry";
  /** `throttled`: 429. `server_error`: 5xx. `unreachable`: no answer at all. `timed_out`: 408, an answer about this request only. */
  cause: "throttled" | "server_error" | "unreachable" | "timed_out";
  status: number | null;
  reason: string;
  /** What the Retry-After of a 429 asked for. */
  retryAfterMs: number | null;
}
