/** The consumers of messages: which broker, which topics, how messages are read. */

import type { MappingConfig, PolicyMapping } from "../domain/mapping_config.ts";
import { quoted } from "../domain/quoted.ts";
import { filterFlaw } from "../domain/topics.ts";
import type { ConsumersConfig } from "../sources/consumers_config.ts";
import { type Findings, kafkaConnection, mqttConnection, type NamedFiles } from "./brokers.ts";
import { enrichmentOf } from "./enrichment.ts";
import type { FlagValues } from "./flags.ts";

/** Null where neither a broker nor a topic is given. */
export function consumersConfig(
  values: FlagValues,
  files: NamedFiles,
  findings: Findings,
): ConsumersConfig | null {
  const mapping = mappingConfig(values);
  const { event, heartbeat, policy } = mapping.topics;
  const hasTopic = event !== null || heartbeat !== null || policy !== null;
  const mqtt = mqttConnection(values, files, findings);
  const kafka = kafkaConnection(values, files, findings);
  if (mqtt === null && kafka === null) {
    if (hasTopic) {
      findings.problems.push("daemon: a topic needs a broker; give --mqtt_host or --kafka_brokers");
    }
    return null;
  }
  if (!hasTopic) {
    const broker = mqtt === null ? "--kafka_brokers" : "--mqtt_host";
    findings.problems.push(
      `${broker}: needs at least one topic; give --event_topic, --heartbeat_topic or --policy_topic`,
    );
  }
  if (mqtt !== null) findings.problems.push(...flawedFilters(values));
  if (mqtt !== null && values.mqtt_qos === 0 && !(values.mqtt_buffer ?? false)) {
    findings.problems.push(
      "--mqtt_qos: QoS 0 has no broker acknowledgement to hold back until ilert has accepted the event; " +
        "use --mqtt_qos 1 or 2, or use --mqtt_buffer",
    );
  }
  if (policy !== null && values.api_key === undefined) {
    findings.problems.push(
      "--policy_topic: needs an API key for ilert; set ILERT_API_KEY or ILERT_API_KEY_FILE",
    );
  }
  if (policy !== null && values.policy_routing_keys === undefined) {
    findings.warnings.push(
      "--policy_topic without --policy_routing_keys: no message names an escalation policy, so all become dead letters",
    );
  }
  return {
    mqtt: mqtt === null ? null : {
      connection: mqtt,
      qos: values.mqtt_qos ?? 1,
      isBuffered: values.mqtt_buffer ?? false,
      sharedGroup: values.mqtt_shared_group ?? null,
    },
    kafka: kafka === null
      ? null
      : { connection: kafka, groupId: values.kafka_group_id, from: values.kafka_from },
    mapping,
    policy: policy === null ? null : { mapping: policyMapping(values), apiKey: values.api_key ?? "" },
  };
}

/** A broker would end the connection for one of them, again and again. */
function flawedFilters(values: FlagValues): string[] {
  return (["event_topic", "heartbeat_topic", "policy_topic"] as const).flatMap((name) => {
    const filter = values[name];
    if (filter === undefined) return [];
    const flaw = filterFlaw(filter);
    return flaw === null ? [] : [`--${name}: ${quoted(filter)} is no MQTT topic filter: ${flaw}`];
  });
}

export function mappingConfig(values: FlagValues): MappingConfig {
  return {
    topics: {
      event: values.event_topic ?? null,
      heartbeat: values.heartbeat_topic ?? null,
      policy: values.policy_topic ?? null,
    },
    integrationKey: values.event_key ?? null,
    eventTypePath: values.map_key_etype ?? null,
    alertKeyPath: values.map_key_alert_key ?? null,
    summaryPath: values.map_key_summary ?? null,
    eventTypeValues: {
      ALERT: values.map_val_etype_alert ?? null,
      ACCEPT: values.map_val_etype_accept ?? null,
      RESOLVE: values.map_val_etype_resolve ?? null,
    },
    filter: values.filter_key === undefined
      ? null
      : { field: values.filter_key, value: values.filter_val ?? null },
    forwardPayload: values.forward_message_payload ?? false,
    enrichment: enrichmentOf(values),
  };
}

export function policyMapping(values: FlagValues): PolicyMapping {
  return {
    routingKeyFields: values.policy_routing_keys ?? [],
    emailPath: values.map_key_email,
    shiftPath: values.map_key_shift,
    shiftOffset: values.shift_offset,
  };
}
