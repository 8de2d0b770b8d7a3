/** `ILAGENT_*` and the named variables → flags as text. */

import { type Flag, flagEntries, variablesOf } from "./flags.ts";
import type { Source } from "./given.ts";
import { failureOf } from "../runtime/failure.ts";

export interface Surroundings {
  variable(name: string): string | undefined;
  /** Throws where the file cannot be read. */
  readFile(path: string): string;
}

/** In a namespace with a Service called ilagent, Kubernetes sets ILAGENT_PORT=tcp://10.0.0.1:8977: not meant for us. */
const KUBERNETES_SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

export function readEnvironment(surroundings: Surroundings): Source {
  const source: Source = { given: new Map(), problems: [] };
  for (const [name, flag] of flagEntries) {
    for (const variable of variablesOf(name)) {
      const found = readVariable(variable, flag, surroundings, source.problems);
      if (found === undefined) continue;
      const texts = flag.repeatable ? found.text.split(",").map((item) => item.trim()) : [found.text];
      source.given.set(name, { origin: found.origin, texts });
      break;
    }
  }
  return source;
}

function readVariable(variable: string, flag: Flag, surroundings: Surroundings, problems: string[]) {
  const text = surroundings.variable(variable);
  // An empty variable is how many tools write an unset one.
  if (text !== undefined && text !== "" && !KUBERNETES_SERVICE_LINK.test(text)) {
    return { origin: variable, text };
  }
  if (!flag.secret) return undefined;
  const origin = `${variable}_FILE`;
  const path = surroundings.variable(origin);
  if (path === undefined || path === "") return undefined;
  try {
    return { origin: `${origin} (${path})`, text: surroundings.readFile(path).replace(/\r?\n$/, "") };
  } catch (error) {
    problems.push(
      `${origin}: cannot read ${path}: ${failureOf(error)}; name a readable file that holds the value`,
    );
    return undefined;
  }
}
