/** Edge connectors as processes, between an emulated ilert and a webhook. */

import { AgentProcess, freePort, runAgent } from "./agent_process.ts";
import { edgePayload } from "./edge_items.ts";
import { IlertEmulator, type IlertEmulatorOptions } from "./ilert_emulator.ts";
import { TempFolder } from "./temp_folder.ts";
import { WebhookTarget } from "./webhook_target.ts";

export const CONNECTOR_KEY = "iec1-journey-key-0001";

export interface EdgeProcesses extends AsyncDisposable {
  ilert: IlertEmulator;
  target: WebhookTarget;
  folder: TempFolder;
  /** Starts an agent; `-f`, and where `port` is wanted `-p`, are added. */
  start(
    args: string[],
    options?: { env?: Record<string, string>; file?: string; port?: boolean },
  ): Promise<AgentProcess>;
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  /** The flags that deliver to the target. */
  http: string[];
}

export async function edgeProcesses(options: IlertEmulatorOptions = {}): Promise<EdgeProcesses> {
  const folder = new TempFolder();
  const ilert = await IlertEmulator.start({ edgeKey: CONNECTOR_KEY, ...options });
  const target = await WebhookTarget.start();
  const agents: AgentProcess[] = [];
  const env = {
    ILERT_API_HOST: ilert.url,
    ILERT_HEARTBEAT_HOST: ilert.url,
    ILERT_EDGE_CONNECTOR_KEY: CONNECTOR_KEY,
  };
  return {
    ilert,
    target,
    folder,
    http: ["--edge_mode", "http", "--edge_http_url", target.url],
    async start(args, { env: more = {}, file = "a.db3", port = true } = {}) {
      const listen = port ? ["-p", `${await freePort()}`, "--host", "127.0.0.1"] : [];
      const agent = AgentProcess.start({
        command: "built",
        args: ["daemon", ...args, ...listen, "-f", folder.file(file)],
        env: { ...env, ...more },
        cwd: folder.path,
      });
      agents.push(agent);
      if (port) await agent.ready();
      return agent;
    },
    run: (...args) => runAgent([...args, "-f", folder.file("a.db3")], { command: "built", env }),
    async [Symbol.asyncDispose]() {
      for (const agent of agents) await agent[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
      await ilert[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

export async function readiness(agent: AgentProcess): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${agent.url}/ready`);
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

export function edgePayloads(first: number, count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, at) => edgePayload(first + at));
}
