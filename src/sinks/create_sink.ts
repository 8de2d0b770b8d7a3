/** The one list of sinks, closed by the compiler. */

import type { SinkConfig } from "../edge/edge_config.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { HttpSink } from "./http.ts";
import { ScriptSink } from "./script.ts";
import type { Sink } from "./sink.ts";
import { type StdoutDeps, StdoutSink } from "./stdout.ts";

export interface SinkDeps {
  stdout: Omit<StdoutDeps, "clock">;
  /** Leads to the worker that runs the script; null in other modes. */
  script: MessagePort | null;
  /** Names the agent at a broker where nobody has given it a name. */
  agentId: () => string;
  /** A Kafka broker that the agent has no right to reach. */
  onBrokerRefused: (address: string) => void;
  /** From 0 to 1. */
  random: () => number;
  clock: Clock;
  log: Log;
}

/** The client of a broker is evaluated only where it is used. */
export async function createSink(config: SinkConfig, deps: SinkDeps): Promise<Sink> {
  switch (config.kind) {
    case "http":
      return new HttpSink(config);
    case "stdout":
      return new StdoutSink(Deno.stdout, await nameOfStdout(), { ...deps.stdout, clock: deps.clock });
    case "script":
      if (deps.script === null) throw new Error("Cannot run a script: nothing leads to its worker");
      return new ScriptSink(deps.script, deps.clock, deps.log);
    case "kafka":
      return new (await import("./kafka.ts")).KafkaSink(config, deps);
    case "mqtt": {
      const { MqttSink } = await import("./mqtt.ts");
      return new MqttSink(config, `${config.connection.clientId ?? deps.agentId()}-edge`, deps);
    }
    default:
      throw new Error(`No such sink: ${config satisfies never}`);
  }
}

const STDOUT_FD = 1;

/** Pipes have no names; the kernel's number of one is not used for another before the machine is restarted. */
async function nameOfStdout(): Promise<string> {
  // Deno has no stat of its own for it; no other sink pays for this module.
  const { fstatSync } = await import("node:fs");
  const { dev, ino } = fstatSync(STDOUT_FD);
  return `${dev}:${ino}`;
}
