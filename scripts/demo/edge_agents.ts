/** The edge demo's agents: two that share an edge connection, and one with a script. */

import { join } from "node:path";
import { AgentProcess, runAgent } from "../../tests/support/agent_process.ts";

/** The shortest that the agent takes, so that the demo is short too. */
const INTERVAL_SECONDS = "5";
export const CLUSTER = "demo";
export const MEMBERS = ["node-1", "node-2"] as const;
export type Member = typeof MEMBERS[number];
const SCRIPTED = "with-script";

export class EdgeAgents {
  readonly #folder: string;
  readonly #runs: { name: string; agent: AgentProcess }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  get lines(): string[] {
    return this.#runs.flatMap(({ name, agent }) => agent.lines.map((line) => `${name}  ${line}`));
  }

  startMember(member: Member, ilertUrl: string, webhookUrl: string): void {
    this.#start(member, ilertUrl, [
      ...["--edge_mode", "http", "--edge_http_url", webhookUrl],
      ...["--edge_cluster_id", CLUSTER, "--edge_instance_id", member],
      ...["--edge_standby_interval", INTERVAL_SECONDS],
    ]);
  }

  /** The script notes the number of each event in its own line. */
  async startScripted(ilertUrl: string): Promise<void> {
    const script = join(this.#folder, "deliver.sh");
    const text = `#!/bin/sh\nread -r payload\necho "$ILERT_EDGE_ITEM_ID $payload" >> '${this.#notes}'\n`;
    await Deno.writeTextFile(script, text);
    await Deno.chmod(script, 0o755);
    this.#start(SCRIPTED, ilertUrl, ["--edge_mode", "script", "--edge_script", script]);
  }

  /** What the script was given, by the item's id. */
  async noted(): Promise<number[]> {
    const text = await Deno.readTextFile(this.#notes).catch(() => "");
    return text.split("\n").slice(0, -1).map((line) => Number(line.split(" ", 1)[0]));
  }

  async killMember(member: Member): Promise<void> {
    await this.#runs.findLast(({ name }) => name === member)?.agent.kill();
  }

  /** SIGTERM for all; answers with the exit codes of those that still ran. */
  async stop(): Promise<number[]> {
    const running = this.#runs.filter(({ agent }) => agent.status === null);
    return await Promise.all(running.map(({ agent }) => agent.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.#runs.map(({ agent }) => agent.kill()));
  }

  async audit(): Promise<{ holds: boolean; verdict: string }> {
    const runs = await Promise.all(
      [...MEMBERS, SCRIPTED].map((name) =>
        runAgent(["audit", "-f", this.#file(name)], { cwd: this.#folder })
      ),
    );
    const verdicts = runs.map(({ stdout, stderr }) => (stdout + stderr).trim().split("\n").at(-1) ?? "");
    const isSame = verdicts.every((verdict) => verdict === verdicts[0]);
    return {
      holds: runs.every(({ code }) => code === 0),
      verdict: isSame ? `${verdicts[0]} (of each agent)` : verdicts.join("; "),
    };
  }

  #start(name: string, ilertUrl: string, flags: readonly string[]): void {
    const agent = AgentProcess.start({
      args: [
        "-v",
        "-v",
        "daemon",
        "-f",
        this.#file(name),
        "--edge_poll_interval",
        INTERVAL_SECONDS,
        ...flags,
      ],
      env: {
        ILERT_API_HOST: ilertUrl,
        ILERT_HEARTBEAT_HOST: ilertUrl,
        ILERT_EDGE_CONNECTOR_KEY: "iec1-demo",
      },
      cwd: this.#folder,
    });
    this.#runs.push({ name, agent });
  }

  #file(name: string): string {
    return join(this.#folder, `${name}.db3`);
  }

  get #notes(): string {
    return join(this.#folder, "notes.txt");
  }
}
