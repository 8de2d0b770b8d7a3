/**
 * What is said around the script's worker. The main thread sets it up; the agent can then only ask it to run that one
 * script, with a payload and four values, and to end the run.
 */

/** Told by the main thread, out of the agent's reach: the environment could turn any script into any program. */
export interface ScriptSetup {
  /** Absolute. */
  path: string;
  /** The kill program, absolute. */
  killPath: string;
  /** Beside the four variables of the event and a minimal PATH. */
  env: Record<string, string>;
}

export type ToScriptWorker =
  | { type: "start"; setup: ScriptSetup; agent: MessagePort }
  /** Ends the run that is under way; nothing is run after it. */
  | { type: "stop" };

export type FromScriptWorker =
  | { type: "loaded" }
  | { type: "alive" }
  /** No run is under way any more. */
  | { type: "stopped" }
  /** `message` is one line for the operator. */
  | { type: "failed"; message: string };

export interface ScriptInput {
  /** For stdin. */
  body: string;
  eventType: string;
  alertId: string;
  itemId: string;
  timestamp: string;
}

export type ToScript = { type: "run"; id: number; input: ScriptInput } | { type: "end"; id: number };

export type FromScript = { type: "ended"; id: number; run: ScriptRun };

export interface ScriptRun {
  /** One clause; null where the script succeeded. */
  failure: string | null;
  /** What it wrote to stdout and stderr, line by line, as much as the bounds allow. */
  lines: string[];
  /** What was beyond them. */
  droppedBytes: number;
}

/** Source: the edge connector's page, "Script". */
export const RUN_MAX_MS = 30_000;

/** How long a killed script may take to disappear: longer only where the kernel itself waits, for a disk say. */
export const KILL_MAX_MS = 5_000;
