/** How long a process needs from its start to its first answer. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";
import { median } from "./statistics.ts";

/** AgentProcess.ready() looks less often, and through a `fetch` that costs milliseconds itself. */
const LOOK_INTERVAL_MS = 2;

const START_MS_MAX = 20_000;
/** Of each; the one before them only fills the caches. */
const STARTS = 10;

/** Medians of the ms until each is healthy, once started before. They take turns, so that all have the same machine. */
export async function startMedians(starts: readonly (() => Promise<AgentProcess>)[]): Promise<number[]> {
  return await turns(starts.map((start) => async () => {
    const { agent, ms } = await healthyAfter(start, START_MS_MAX);
    await agent.stop();
    return ms;
  }));
}

/** Medians of what each measures in ms, in turns and without its first. */
export async function turns(measures: readonly (() => Promise<number>)[]): Promise<number[]> {
  const samples = measures.map((): number[] => []);
  for (let count = 0; count <= STARTS; count++) {
    for (const [at, measure] of measures.entries()) {
      const ms = await measure();
      if (count > 0) samples[at]?.push(ms);
    }
  }
  return samples.map(median);
}

/** ms until `GET /health` answers 204. */
export async function healthyAfter(
  start: () => Promise<AgentProcess>,
  timeoutMs: number,
): Promise<{ agent: AgentProcess; ms: number }> {
  const startedAt = performance.now();
  const agent = await start();
  const { hostname, port } = new URL(agent.url);
  while (!await isHealthy(hostname, Number(port))) {
    if (performance.now() - startedAt > timeoutMs) {
      throw new Error(
        `The agent was not healthy within ${timeoutMs} ms: ${agent.lines.slice(-3).join("; ")}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
  }
  return { agent, ms: performance.now() - startedAt };
}

async function isHealthy(hostname: string, port: number): Promise<boolean> {
  try {
    using connection = await Deno.connect({ hostname, port });
    await connection.write(
      new TextEncoder().encode(`GET /health HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`),
    );
    const answer = new Uint8Array(64);
    const length = await connection.read(answer) ?? 0;
    return new TextDecoder().decode(answer.subarray(0, length)).startsWith("HTTP/1.1 204");
  } catch {
    return false;
  }
}
