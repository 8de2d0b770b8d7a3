/**
 * The daemon with the flags that follow the first argument, but without the right that this one names, such as
 * `net 127.0.0.1:8977`. No configuration brings that about; here each mode can be made to lack each of its rights.
 */

import { daemonJob, daemonPermissions, type ValidDaemon } from "../../src/commands/daemon.ts";
import { daemonConfig, logConfig } from "../../src/config/daemon.ts";
import { readSettings } from "../../src/config/settings.ts";
import type { Permissions } from "../../src/jail/permissions.ts";
import { runJailed } from "../../src/jail/supervisor.ts";
import type { LogConfig } from "../../src/runtime/log.ts";
import { reportLine } from "../../src/runtime/print.ts";

if (self.name === "agent") {
  const { serveJob } = await import("../../src/jail/worker.ts");
  serveJob(self as unknown as Parameters<typeof serveJob>[0]);
} else {
  const [lacking = "", ...args] = Deno.args;
  const { daemon, log } = await daemonOf(args);
  const { exitCode, message } = await runJailed(
    daemonJob(daemon, log, []),
    without(daemonPermissions(daemon), lacking),
  );
  if (message !== null) reportLine(message);
  Deno.exit(exitCode);
}

async function daemonOf(args: string[]): Promise<{ daemon: ValidDaemon; log: LogConfig }> {
  const settings = await readSettings(args, {
    variable: (name) => Deno.env.get(name),
    readFile: (path) => Deno.readTextFileSync(path),
  });
  if (settings.kind !== "run") throw new Error(`Cannot run with ${args.join(" ")}`);
  const files = { readFile: (path: string) => Deno.readTextFileSync(path), isExecutable: () => true };
  const daemon = daemonConfig(settings.values, settings.origins, files);
  if (daemon.kind === "invalid") throw new Error(`Cannot run: ${daemon.problems.join("; ")}`);
  return { daemon, log: logConfig(settings.values) };
}

function without({ net, read, write }: Permissions, lacking: string): Permissions {
  const left = (right: string, list: string[]) => list.filter((what) => `${right} ${what}` !== lacking);
  return { net: left("net", net), read: left("read", read), write: left("write", write) };
}
