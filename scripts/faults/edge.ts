/** The edge connector between ilert and a target, and whatever can go wrong there: nothing is lost, and order stays. */

import { tryEdgeAnswers } from "./edge_answers.ts";
import { tryEdgeBrokers } from "./edge_brokers.ts";
import { tryEdgeCluster } from "./edge_cluster.ts";
import { tryEdgeKill } from "./edge_kill.ts";
import type { Findings } from "./findings.ts";
import type { Circumstances } from "./scenario.ts";

/** All at the same time: most of it is waiting for the next poll. */
export async function tryEdge(circumstances: Circumstances, findings: Findings): Promise<void> {
  const parts = { tryEdgeAnswers, tryEdgeBrokers, tryEdgeCluster, tryEdgeKill };
  await Promise.all(
    Object.entries(parts).map(async ([name, part]) => {
      try {
        await part(circumstances, findings);
      } catch (error) {
        // The others go on to their end, with what they have started.
        findings.check(
          "edge",
          `${name} runs to its end`,
          error instanceof Error ? error.message : `${error}`,
        );
      }
    }),
  );
}
