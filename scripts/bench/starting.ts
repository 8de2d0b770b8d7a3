/** How long a process needs from its start to its first answer. */

import type { AgentProcess } from "../../tests/support/agent_process.ts";

/** AgentProcess.ready() looks less often, and through a `fetch` that costs milliseconds itself. */
const LOOK_INTERVAL_MS = 2;

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
