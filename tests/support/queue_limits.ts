import type { QueueLimits } from "../../src/queue/bounds.ts";

/** For tests that are about something else than bounds. */
export const ROOMY: QueueLimits = { eventsMax: 1e9, bytesMax: 1e12, deadLettersMax: 1e9 };
