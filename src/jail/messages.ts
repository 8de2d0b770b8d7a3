/** What the main thread and the agent's worker say to each other. */

import type { MapJob } from "../commands/map_job.ts";
import type { OperatorJob } from "../commands/operator_job.ts";
import type { RepairJob } from "../commands/repair_job.ts";
import type { AuditJob } from "../commands/audit_job.ts";
import type { SendEventJob } from "../commands/event_job.ts";
import type { SendHeartbeatJob } from "../commands/heartbeat_job.ts";
import type { EdgeJob } from "../commands/edge_job.ts";
import type { RelayJob } from "../commands/daemon_job.ts";

/** Plain data, because it is cloned into the worker. */
export type Job =
  | RelayJob
  | EdgeJob
  | SendEventJob
  | SendHeartbeatJob
  | AuditJob
  | OperatorJob
  | RepairJob
  | MapJob;

export type ToWorker =
  /** `script` leads to the worker that runs the script; null for a job without one. */
  | { type: "start"; job: Job; script: MessagePort | null }
  | { type: "stop" };

export type FromWorker =
  /** Its code is loaded; the main thread may give up its rights. */
  | { type: "loaded" }
  | { type: "alive" }
  /** It opens its database, one step that may take long, and cannot say so meanwhile. */
  | { type: "opening" }
  /** It has no right to reach a Kafka broker; which one is for others to find out. */
  | { type: "broker_refused" }
  | { type: "finished"; exitCode: number }
  /** `message` is one line for the operator. */
  | { type: "failed"; message: string; exitCode: number };

/** How often the worker shows that its event loop turns. */
export const ALIVE_INTERVAL_MS = 500;
