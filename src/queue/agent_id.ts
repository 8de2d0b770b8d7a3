/** What brokers know an agent by: kept in its file, so that two agents are never taken for one. */

import type { KeptValues } from "./kept_values.ts";

const ID = "agent_id";
/** With the prefix within the 23 characters that every broker of MQTT 3.1.1 has to take. */
const ID_CHARACTERS = 12;

/** Made once for each file. */
export function agentIdOf(values: KeptValues): string {
  let id = values.get(ID);
  if (id === null) {
    id = crypto.randomUUID().replaceAll("-", "").slice(-ID_CHARACTERS);
    values.set(ID, id);
  }
  return `ilagent-${id}`;
}
