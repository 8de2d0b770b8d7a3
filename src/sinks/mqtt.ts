/** Publishes edge items to a topic of an MQTT broker. */

import type { MqttConnection } from "../clients/mqtt_connection.ts";
import type { EdgeItem } from "../domain/edge_item.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Sink, SinkOutcome } from "./sink.ts";

export interface MqttSinkConfig {
  connection: MqttConnection;
  topic: string;
  qos: 0 | 1 | 2;
}

export interface MqttSinkDeps {
  clock: Clock;
  /** From 0 to 1. */
  random: () => number;
  log: Log;
}

export class MqttSink implements Sink {
  readonly itemsMax = 100;

  /** `clientId` is the whole one, `<name>-edge`. Connects from now on. */
  constructor(_config: MqttSinkConfig, _clientId: string, _deps: MqttSinkDeps) {}

  deliver(_items: readonly EdgeItem[], _signal: AbortSignal): Promise<SinkOutcome[]> {
    return Promise.resolve([{ kind: "retry", reason: "not connected to the broker" }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}
