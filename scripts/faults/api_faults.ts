/** The ways in which ilert fails, one list. */

import type { Fault } from "../../tests/support/ilert_faults.ts";

export interface ApiFault {
  what: string;
  faults: (ilertUrl: string) => Fault[];
  /** Of the dead letters that the events must become; null where they must be delivered in the end. */
  deadStatus: number | null;
  /** ilert takes an event and does not say so: then its repetition is right. */
  mayRepeat?: boolean;
  /** Nobody listens while the events come in. */
  isDown?: boolean;
  /** Half a minute or more. */
  isSlow?: boolean;
}

/** Nothing that a Retry-After may be. */
const NONSENSE = ["soon", "-5", "1.5", "", "Thu, 32 Foo 2026 25:61:61 GMT"];

export const API_FAULTS: readonly ApiFault[] = [
  { what: "refused", faults: () => [], deadStatus: null, isDown: true },
  { what: "reset", faults: () => [{ kind: "reset", times: 4 }], deadStatus: null },
  {
    what: "reset_after_taking",
    faults: () => [{ kind: "reset", times: 2, takesEvent: true }],
    deadStatus: null,
    mayRepeat: true,
  },
  {
    what: "reset_mid_body",
    faults: () => [{ kind: "resetMidBody", times: 3 }],
    deadStatus: null,
    mayRepeat: true,
  },
  { what: "malformed", faults: () => [{ kind: "malformedBody" }], deadStatus: null },
  { what: "not_http", faults: () => [{ kind: "notHttp", times: 4 }], deadStatus: null },
  {
    what: "redirect",
    faults: (url) => [{ kind: "redirect", location: `${url}/elsewhere` }],
    deadStatus: 307,
  },
  { what: "status_400", faults: () => [{ kind: "status", status: 400 }], deadStatus: 400 },
  { what: "status_404", faults: () => [{ kind: "status", status: 404 }], deadStatus: 404 },
  { what: "status_413", faults: () => [{ kind: "status", status: 413 }], deadStatus: 413 },
  { what: "status_408", faults: () => [{ kind: "status", status: 408, times: 3 }], deadStatus: null },
  {
    what: "storm",
    faults: () => [500, 502, 503, 504].map((status) => ({ kind: "status", status, times: 2 })),
    deadStatus: null,
  },
  { what: "retry_after_seconds", faults: () => [limited("1"), busy("1")], deadStatus: null },
  {
    what: "retry_after_date",
    faults: () => [limited(new Date(Date.now() + 2_000).toUTCString()), busy(new Date(0).toUTCString())],
    deadStatus: null,
  },
  {
    what: "retry_after_nonsense",
    faults: () => NONSENSE.flatMap((text) => [limited(text)]),
    deadStatus: null,
  },
  { what: "busy_nonsense", faults: () => NONSENSE.slice(0, 3).map((text) => busy(text)), deadStatus: null },
  { what: "hang", faults: () => [{ kind: "hang", times: 2 }], deadStatus: null, isSlow: true },
];

function limited(retryAfter: string): Fault {
  return { kind: "status", status: 429, headers: { "retry-after": retryAfter }, times: 1 };
}

function busy(retryAfter: string): Fault {
  return { kind: "status", status: 503, headers: { "retry-after": retryAfter }, times: 1 };
}
