/** The one list of sinks, closed by the compiler. */

import type { SinkConfig } from "../edge/edge_config.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { HttpSink } from "./http.ts";
import { KafkaSink } from "./kafka.ts";
import { ScriptSink } from "./script.ts";
import type { Sink } from "./sink.ts";
import { StdoutSink } from "./stdout.ts";

export interface SinkDeps {
  /** Called when the target will never take anything again: the reader of stdout has closed the pipe. */
  onClosed: () => void;
  /** Leads to the worker that runs the script; null in other modes. */
  script: MessagePort | null;
  /** Told `host:port` of a Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
  clock: Clock;
  log: Log;
}

export function createSink(config: SinkConfig, deps: SinkDeps): Sink {
  switch (config.kind) {
    case "http":
      return new HttpSink(config);
    case "stdout":
      return new StdoutSink(Deno.stdout, deps.onClosed);
    case "script":
      if (deps.script === null) throw new Error("Cannot run a script: nothing leads to its worker");
      return new ScriptSink(deps.script, deps.clock, deps.log);
    case "kafka":
      return new KafkaSink(config, deps);
    case "mqtt":
      throw new StartupFailure(`--edge_mode ${config.kind} is not there yet`, 2);
    default:
      throw new Error(`No such sink: ${config satisfies never}`);
  }
}
