/** The one list of sinks, closed by the compiler. */

import type { SinkConfig } from "../edge/edge_config.ts";
import { StartupFailure } from "../runtime/startup_failure.ts";
import { HttpSink } from "./http.ts";
import type { Sink } from "./sink.ts";
import { StdoutSink } from "./stdout.ts";

export interface SinkDeps {
  /** Called when the target will never take anything again: the reader of stdout has closed the pipe. */
  onClosed: () => void;
}

export function createSink(config: SinkConfig, deps: SinkDeps): Sink {
  switch (config.kind) {
    case "http":
      return new HttpSink(config);
    case "stdout":
      return new StdoutSink(Deno.stdout, deps.onClosed);
    case "kafka":
    case "mqtt":
    case "script":
      throw new StartupFailure(`--edge_mode ${config.kind} is not there yet`, 2);
    default:
      throw new Error(`No such sink: ${config satisfies never}`);
  }
}
